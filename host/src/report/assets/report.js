"use strict";
(() => {
  const block = document.getElementById("attest-data");
  const data = block ? JSON.parse(block.textContent) : null;
  const raw = (name) => {
    if (name === "verdict") return JSON.stringify(data.verdict, null, 2);
    const [kind, at] = name.split(" ");
    const round = data.rounds[Number(at)];
    if (kind === "challenge") return round.challenge;
    return JSON.stringify(kind === "evidence" ? round.result.evidence : round.result, null, 2);
  };
  for (const details of document.querySelectorAll("details[data-raw]")) {
    const name = details.dataset.raw;
    const text = details.querySelector("pre");
    const button = details.querySelector("button");
    const said = details.querySelector("output");
    details.addEventListener("toggle", () => {
      if (details.open && !text.textContent) text.textContent = raw(name);
    });
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(raw(name));
        said.textContent = "Copied";
      } catch {
        details.open = true;
        text.textContent = raw(name);
        const range = document.createRange();
        range.selectNodeContents(text);
        const selection = window.getSelection();
        selection.removeAllRanges();
        selection.addRange(range);
        said.textContent = "Selected: copy it with Ctrl+C";
      }
    });
  }
})();
