// What the pages do beyond HTML: times in the viewer's zone, copy buttons, rows
// that come and go, the live log. Every page works without it.
(() => {
  "use strict";

  const format = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });

  // localTimes writes times in the viewer's zone; UTC stays as the title.
  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) time.textContent = format.format(at);
    }
  };

  const reveal = (root) => {
    for (const button of root.querySelectorAll("[data-copy], [data-add], [data-remove]")) button.hidden = false;
  };

  const copy = async (button) => {
    const text = document.getElementById(button.dataset.copy).textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(document.getElementById(button.dataset.copy));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Press Ctrl-C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };

  const addRow = (button) => {
    const rows = document.getElementById(button.dataset.add);
    const row = rows.lastElementChild.cloneNode(true);
    for (const input of row.querySelectorAll("input")) input.value = "";
    for (const fault of row.querySelectorAll(".fault")) fault.remove();
    rows.append(row);
    row.querySelector("input").focus();
  };

  const removeRow = (button) => {
    const row = button.closest("[data-row]");
    const rows = row.parentElement;
    if (rows.children.length > 1) row.remove();
    else for (const input of row.querySelectorAll("input")) input.value = "";
    rows.dispatchEvent(new Event("change", { bubbles: true }));
    rows.querySelector("input").focus();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copy) copy(button);
    else if (button.dataset.add) addRow(button);
    else if ("remove" in button.dataset) removeRow(button);
  });

  // Only the fields of the authentication that was chosen are shown.
  const showAuth = (select) => {
    for (const part of document.querySelectorAll("[data-for]")) {
      part.hidden = !part.dataset.for.split(" ").includes(select.value);
    }
  };
  for (const select of document.querySelectorAll("[data-auth]")) {
    showAuth(select);
    select.addEventListener("change", () => showAuth(select));
  }

  // Another type loads its sample.
  for (const select of document.querySelectorAll("[data-submit]")) {
    const button = select.form.querySelector(`button[name="${select.dataset.submit}"]`);
    button.hidden = true;
    select.addEventListener("change", () => select.form.requestSubmit(button));
  }

  // A form is sent once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });

  // The live log. The server ends a stream when it reloads or stops; the
  // browser connects anew by itself. A hidden page needs none.
  const watch = (place) => {
    const live = document.getElementById("live");
    let source = null;
    const stop = () => {
      if (source) source.close();
      source = null;
      if (live) live.hidden = true;
    };
    const start = () => {
      if (source || document.hidden) return;
      source = new EventSource(place.dataset.stream);
      source.addEventListener("open", () => { if (live) live.hidden = false; });
      source.addEventListener("error", () => {
        if (live) live.hidden = true;
        if (source && source.readyState === EventSource.CLOSED) source = null;
      });
      source.addEventListener("log", (event) => {
        const rows = document.getElementById("log-rows");
        if (!rows) {
          if (event.data.trim()) location.reload(); // the first rows bring the table
          return;
        }
        const held = document.activeElement && rows.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        rows.innerHTML = event.data;
        localTimes(rows);
        if (held) rows.querySelector(`a[href="${CSS.escape(held)}"]`)?.focus();
      });
    };
    document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
    window.addEventListener("pagehide", stop);
    start();
  };
  for (const place of document.querySelectorAll("[data-stream]")) watch(place);

  localTimes(document);
  reveal(document);
  document.addEventListener("htmx:afterSwap", (event) => {
    localTimes(event.target.parentElement ?? document);
    reveal(document);
  });
  document.getElementById("faults")?.focus();
})();
