// Drives one headless Chromium for browser.go. Each line on standard input is a
// command, {"id":1,"page":2,"do":"click","target":{"role":"button","name":"Save"}},
// and each line on standard output its answer, {"id":1,"result":…} or
// {"id":1,"error":"…"}. Commands of different pages run side by side. The end of
// the input ends everything.
//
//   node driver.mjs /usr/bin/chromium
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const patience = 20_000; // ms for one command; it ends only tests that would never end
const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({
  executablePath: process.argv[2],
  chromiumSandbox: false, // it cannot be had as root, as whom CI runs; only our own pages are opened
});
const pages = new Map();

// Visit is one page in a browser context of its own: no cookies, no cache.
class Visit {
  constructor(context, page) {
    this.context = context;
    this.page = page;
    this.problems = [];
    this.requests = []; // "GET http://… document"
    page.on("console", (m) => m.type() === "error" && this.problems.push(`console: ${m.text()}`));
    page.on("pageerror", (e) => this.problems.push(`error of a script: ${e.message}`));
    page.on("request", (r) => this.requests.push(`${r.method()} ${r.url()} ${r.resourceType()}`));
    page.on("dialog", (d) => {
      this.problems.push(`dialog: ${d.message()}`);
      d.dismiss().catch(() => {});
    });
  }

  static async open({ javascript, dark, width, height }) {
    const context = await browser.newContext({
      javaScriptEnabled: javascript,
      colorScheme: dark ? "dark" : "light",
      viewport: { width, height },
      reducedMotion: "reduce",
      locale: "en-GB",
      timezoneId: "Asia/Kolkata", // half an hour off whole zones, so that no other time looks like it
      permissions: ["clipboard-read", "clipboard-write"],
    });
    context.setDefaultTimeout(patience);
    const visit = new Visit(context, await context.newPage());
    if (javascript) {
      await context.exposeBinding("reportViolation", (_, text) => visit.problems.push(text));
      await context.addInitScript(() =>
        document.addEventListener("securitypolicyviolation", (e) =>
          reportViolation(`content security policy: ${e.effectiveDirective} refuses ${e.blockedURI} ${e.sample} at ${e.sourceFile}:${e.lineNumber}`),
        ),
      );
    }
    return visit;
  }

  // find returns what a target describes: {role, name}, {label} or {text},
  // inside another target or a frame.
  find({ role, name, label, text, css, part, has, within, frame, nth }) {
    const scope = within ? this.find(within) : frame ? this.page.frameLocator(frame) : this.page;
    let found;
    if (role) found = scope.getByRole(role, { name: name || undefined, exact: !part });
    else if (label) found = scope.getByLabel(label, { exact: !part });
    else if (css) found = scope.locator(css);
    else found = scope.getByText(text);
    if (has) found = found.filter({ hasText: has });
    return nth ? found.nth(nth - 1) : found;
  }
}

const commands = {
  async goto(v, { url }) {
    const response = await v.page.goto(url);
    return { status: response.status(), headers: await response.allHeaders() };
  },
  reload: async (v) => void (await v.page.reload()),
  back: async (v) => void (await v.page.goBack()),
  click: async (v, { target }) => void (await v.find(target).click()),
  fill: async (v, { target, value }) => void (await v.find(target).fill(value)),
  select: async (v, { target, value }) => void (await v.find(target).selectOption({ label: value })),
  check: async (v, { target }) => void (await v.find(target).check()),
  press: async (v, { value }) => void (await v.page.keyboard.press(value)),
  type: async (v, { value }) => void (await v.page.keyboard.type(value)),
  see: async (v, { target }) => void (await v.find(target).first().waitFor({ state: "visible" })),
  gone: async (v, { target }) => void (await v.find(target).first().waitFor({ state: "hidden" })),
  count: (v, { target }) => v.find(target).count(),
  text: (v, { target }) => v.find(target).innerText(),
  value: (v, { target }) => v.find(target).inputValue(),
  attribute: (v, { target, value }) => v.find(target).getAttribute(value),
  url: (v) => v.page.url(),
  arrive: async (v, { value }) => void (await v.page.waitForURL(new RegExp(value))),
  evaluate: (v, { value }) => v.page.evaluate(value),
  cookies: (v) => v.context.cookies(),
  forget: async (v) => void (await v.context.clearCookies()),
  setCookies: async (v, { cookies }) => void (await v.context.addCookies(cookies)),
  requests: (v) => v.requests,
  problems: (v) => v.problems.splice(0),

  async look(v, { width, height, dark }) {
    await v.page.setViewportSize({ width, height });
    await v.page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
  },

  // focused describes what has the keyboard's focus, by its accessible name.
  async focused(v) {
    const snapshot = await v.page.locator(":focus").first().ariaSnapshot();
    return snapshot.split("\n")[0];
  },

  // audit returns what axe-core finds serious or critical: by all rules, or by
  // those that are named.
  async audit(v, { rules }) {
    if (!(await v.page.evaluate("!!window.axe"))) await v.page.evaluate(axeSource);
    const options = { resultTypes: ["violations"], ...(rules && { runOnly: rules }) };
    const { violations } = await v.page.evaluate((o) => axe.run(o), options);
    return violations
      .filter((f) => f.impact === "serious" || f.impact === "critical")
      .flatMap((f) => f.nodes.map((n) => `${f.id}: ${f.help}: ${n.html} ${n.failureSummary}`));
  },

  // wider returns what stands out of the page to the right, which then scrolls.
  wider: (v) =>
    v.page.evaluate(() => {
      const root = document.documentElement;
      if (root.scrollWidth <= root.clientWidth) return [];
      return [...document.querySelectorAll("body *")]
        .filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1)
        .slice(0, 5)
        .map((e) => e.outerHTML.slice(0, 120));
    }),

  async screenshot(v, { value, whole }) {
    await mkdir(dirname(value), { recursive: true });
    await v.page.screenshot({ path: value, fullPage: whole, animations: "disabled" });
  },

  async close(v, { page }) {
    pages.delete(page);
    await v.context.close();
  },
};

const print = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");
print({ id: 0, result: browser.version() });

async function run(command) {
  const { id, page } = command;
  try {
    if (command.do === "open") {
      pages.set(page, await Visit.open(command));
      return print({ id });
    }
    print({ id, result: await commands[command.do](pages.get(page), command) });
  } catch (e) {
    print({ id, error: e.message.replaceAll(/\u001b\[\d+m/g, "") });
  }
}

for await (const line of createInterface({ input: process.stdin })) run(JSON.parse(line));
await browser.close();
