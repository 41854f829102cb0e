// A receiver of webhooks for tests and for trying things out, built the way
// receivers are: Express 5 with express.json() or express.raw(), and the
// standardwebhooks library from npm.
//
//   npm ci --prefix integration/node
//   node integration/node/receiver.mjs --port 3000 --secret "$SECRET"
//
// The first line on stdout is {"listening":"http://127.0.0.1:3000"}. Each
// request adds one line, written before the request is answered: see the type
// Record in node.go.

import { createHmac, timingSafeEqual } from "node:crypto";
import { parseArgs } from "node:util";
import express from "express";
import { Webhook } from "standardwebhooks";

const env = (name) => process.env[`RECEIVER_${name}`];
const list = (text) => (text === undefined ? [] : [text]);

const { values: options } = parseArgs({
  options: {
    host: { type: "string", default: env("HOST") ?? "127.0.0.1" },
    port: { type: "string", default: env("PORT") ?? "0" },
    // The one secret this receiver knows. Without it nothing is judged.
    secret: { type: "string", default: env("SECRET") ?? "" },
    // json: verifies JSON.stringify(req.body). raw: verifies the bytes.
    // standard: the npm library. all: each of them.
    mode: { type: "string", default: env("MODE") ?? "all" },
    // Answers in turn, the last one from then on: 500,500,200. 0 closes the
    // connection without an answer. Without it: 200, or 401 if invalid.
    status: { type: "string", default: env("STATUS") ?? "" },
    // Milliseconds to wait before each answer.
    delay: { type: "string", default: env("DELAY") ?? "0" },
    // The body limit, as Express takes it. Express's own default is 100kb.
    limit: { type: "string", default: env("LIMIT") ?? "512kb" },
    // Added to each answer: "Retry-After: 1". May be given several times.
    header: { type: "string", multiple: true, default: list(env("HEADER")) },
    // Ends when stdin does, so that a test that dies takes it along.
    "exit-with-stdin": { type: "boolean", default: false },
  },
});

const statuses = options.status === "" ? [] : options.status.split(",").map(Number);
const judges = {
  json: (req) => judgeTengine(req, JSON.stringify(req.body)),
  raw: (req) => judgeTengine(req, req.rawBody),
  standard: judgeStandard,
};
const modes = options.mode === "all" ? Object.keys(judges) : [options.mode];
if (!(modes[0] in judges)) {
  console.error(`--mode is json, raw, standard or all, not ${options.mode}`);
  process.exit(2);
}

// The scheme x-tengine-signature, and its two siblings of a rotation.
function judgeTengine(req, signed) {
  const want = Buffer.from("sha256=" + createHmac("sha256", options.secret).update(signed).digest("hex"));
  const matches = ["x-tengine-signature", "x-tengine-signature-previous", "x-tengine-signature-next"].filter((name) => {
    const given = Buffer.from(req.get(name) ?? "");
    return given.length === want.length && timingSafeEqual(given, want);
  });
  const valid = matches.includes("x-tengine-signature");
  return { valid, matches, error: valid ? "" : "x-tengine-signature does not match" };
}

function judgeStandard(req) {
  const { secret } = options;
  const webhook = secret.startsWith("whsec_")
    ? new Webhook(secret)
    : new Webhook(new TextEncoder().encode(secret), { format: "raw" });
  webhook.verify(req.rawBody, req.headers);
  return { valid: true, matches: ["webhook-signature"], error: "" };
}

function judge(mode, req) {
  try {
    return judges[mode](req);
  } catch (error) {
    return { valid: false, matches: [], error: error.message };
  }
}

let requests = 0;

function answer(req, res, failure) {
  const verdicts = {};
  if (options.secret !== "" && !failure) {
    for (const mode of modes) verdicts[mode] = judge(mode, req);
  }
  const valid = Object.values(verdicts).every((verdict) => verdict.valid);
  const status = failure?.status ?? statuses[Math.min(requests, statuses.length - 1)] ?? (valid ? 200 : 401);
  requests++;

  const headers = [];
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    headers.push({ name: req.rawHeaders[i], value: req.rawHeaders[i + 1] });
  }
  const { method, url, httpVersion } = req;
  print({
    number: requests,
    method,
    url,
    http_version: httpVersion,
    headers,
    body: req.rawBody?.toString("base64") ?? "",
    remote_address: req.socket.remoteAddress ?? "",
    verdicts,
    status,
    error: failure?.message ?? "",
  });

  setTimeout(() => {
    if (status === 0) {
      req.socket.destroy();
      return;
    }
    for (const line of options.header) {
      const colon = line.indexOf(":");
      res.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    }
    res.sendStatus(status);
  }, Number(options.delay));
}

const print = (record) => process.stdout.write(JSON.stringify(record) + "\n");

const app = express();
if (modes.includes("json")) {
  app.use(express.json({ limit: options.limit, verify: (req, _res, bytes) => { req.rawBody = bytes; } }));
} else {
  app.use(express.raw({ limit: options.limit, type: "application/json" }));
  app.use((req, _res, next) => {
    req.rawBody = req.body;
    next();
  });
}
app.use((req, res) => answer(req, res));
app.use((error, req, res, _next) => answer(req, res, error));

const server = app.listen(Number(options.port), options.host, (error) => {
  if (error) throw error;
  const { address, port } = server.address();
  print({ listening: `http://${address.includes(":") ? `[${address}]` : address}:${port}` });
});

if (options["exit-with-stdin"]) {
  process.stdin.on("end", () => process.exit(0)).resume();
}
