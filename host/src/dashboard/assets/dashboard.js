"use strict";
// The page is whole without this: here it is asked for again when the ledger has changed.
(() => {
  const state = document.getElementById("state");
  const said = document.getElementById("said");
  const form = document.querySelector("form.filters");
  const content = () => document.getElementById("content");
  // Addresses without empty filters.
  if (form) {
    form.addEventListener("submit", () => {
      for (const field of form.elements) field.disabled = field.name !== "" && field.value === "";
    });
    window.addEventListener("pageshow", () => {
      for (const field of form.elements) field.disabled = false;
    });
  }
  if (!content() || typeof EventSource !== "function") return;

  const RETRY_MS = 3000;
  const SAID_EVERY_MS = 10000;
  let [source, timer, asking, again, saidAt] = [null, 0, false, false, 0];

  const show = (name, text) => {
    if (state.dataset.state === name) return;
    state.dataset.state = name;
    state.textContent = text;
    if (name !== "live") said.textContent = text;
  };

  // The same place again, without a jump: focus and open parts stay.
  const renew = (html) => {
    const next = new DOMParser().parseFromString(html, "text/html").getElementById("content");
    const old = content();
    if (!next) return;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const link = focused && focused.getAttribute("href");
    const label = focused && focused.getAttribute("aria-label");
    const open = [...old.querySelectorAll("details")].map((details) => details.open);
    const wide = [...old.querySelectorAll(".scroll")].map((part) => part.scrollLeft);
    old.replaceWith(document.adoptNode(next));
    next.querySelectorAll("details").forEach((details, at) => { details.open = open[at] === true; });
    next.querySelectorAll(".scroll").forEach((part, at) => { part.scrollLeft = wide[at] || 0; });
    const same = (part) => link ? part.getAttribute("href") === link : label && part.getAttribute("aria-label") === label;
    const heir = focused && [...next.querySelectorAll("a, [tabindex], summary")].find(same);
    if (heir) heir.focus({ preventScroll: true });
  };

  const ask = async () => {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.ok) renew(await answer.text());
    } catch {
      // The stream ends, too, and says so.
    }
    asking = false;
    if (again) {
      again = false;
      ask();
    }
  };

  const heard = (event) => {
    const now = JSON.parse(event.data);
    if (now.lost) show("lost", "✕ The ledger is lost");
    else show("live", "● Live");
    const shown = content().dataset;
    if (shown.revision === now.revision && shown.lost === String(now.lost)) return;
    ask();
    if (!now.lost && Date.now() - saidAt > SAID_EVERY_MS) {
      saidAt = Date.now();
      said.textContent = `Updated: ${now.under_way} open, ${now.verified} verified, ${now.rejected} rejected`;
    }
  };

  const close = () => {
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  };
  const open = () => {
    close();
    source = new EventSource("/events");
    source.addEventListener("state", heard);
    source.addEventListener("error", () => {
      show("away", "✕ The dashboard does not answer; trying again");
      // By itself it tries again only after some errors.
      if (source && source.readyState === EventSource.CLOSED) timer = setTimeout(open, RETRY_MS);
    });
  };
  // Browsers give a server six connections in all: a page that nobody sees takes none.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  if (!document.hidden) open();
})();
