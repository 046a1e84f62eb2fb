(() => {
  const section = document.getElementById("recompute");
  const module = document.getElementById("attest-wasm");
  const block = document.getElementById("attest-data");
  if (!section || !module || !block || typeof WebAssembly !== "object") return;
  const part = (name) => document.getElementById("recompute-" + name);
  const [count, start, stop, bar] = ["count", "start", "stop", "progress"].map(part);
  const [outcome, faults] = ["outcome", "faults"].map(part);
  const FAULTS_MAX = 20;
  const utf8 = new TextEncoder();
  let stopped = false;

  const load = async () => {
    const code = Uint8Array.from(atob(module.textContent), (c) => c.charCodeAt(0));
    const { instance } = await WebAssembly.instantiate(code, {});
    const verifier = instance.exports;
    const said = () => {
      const at = verifier.attest_output();
      const bytes = new Uint8Array(verifier.memory.buffer, at, verifier.attest_output_bytes());
      return JSON.parse(new TextDecoder().decode(bytes));
    };
    // The page's own text, not what a script made of it.
    const data = utf8.encode(block.textContent);
    const at = verifier.attest_input(data.length);
    if (at === 0) throw new Error("the page's data is too large for this browser");
    new Uint8Array(verifier.memory.buffer, at, data.length).set(data);
    const right = verifier.attest_load() === 1;
    return { verifier, said, right };
  };

  // Places of `wanted` different openings out of `total`, at random, in order.
  const drawn = (wanted, total) => {
    if (wanted === 0 || wanted >= total) return Array.from({ length: total }, (_, at) => at);
    const taken = new Set();
    const word = new Uint32Array(1);
    const fair = 2 ** 32 - (2 ** 32 % total);
    while (taken.size < wanted) {
      crypto.getRandomValues(word);
      if (word[0] < fair) taken.add(word[0] % total);
    }
    return [...taken].sort((a, b) => a - b);
  };

  const show = (kind, text) => {
    section.dataset.outcome = kind;
    outcome.className = kind === "wrong" ? "mark bad" : kind === "right" ? "mark proven" : "";
    outcome.textContent = text;
  };
  const fault = (text) => {
    faults.hidden = false;
    if (faults.childElementCount >= FAULTS_MAX) return;
    const item = document.createElement("li");
    item.textContent = text;
    faults.append(item);
  };
  // Lets the browser draw, and the reader press Stop.
  const pause = () => new Promise((resume) => setTimeout(resume, 0));

  const recompute = async () => {
    const { verifier, said, right } = await load();
    const found = said();
    if (!right) {
      const of = found.round === undefined ? "" : `Round ${found.round}: `;
      show("wrong", "✕ The result does not fit its challenge; no leaf was recomputed.");
      fault(of + found.text);
      return;
    }
    const total = found.reduce((sum, round) => sum + round.openings, 0);
    const places = drawn(Number(count.value), total);
    bar.max = places.length;
    bar.hidden = false;
    let [done, wrong, drawnAt] = [0, 0, performance.now()];
    for (const place of places) {
      let [round, at] = [0, place];
      while (at >= found[round].openings) at -= found[round++].openings;
      if (verifier.attest_leaf(round, at) !== 1) {
        const leaf = said();
        wrong += 1;
        const of = `Round ${found[round].round}, lane ${leaf.lane}, iteration ${leaf.iteration}, leaf ${leaf.leaf}`;
        fault(`${of}: ${leaf.fault}`);
      }
      done += 1;
      bar.value = done;
      if (performance.now() - drawnAt > 40) {
        show("running", `${done} of ${places.length} leaves recomputed`);
        await pause();
        drawnAt = performance.now();
        if (stopped) break;
      }
    }
    const cut = done < places.length ? " Stopped before the rest." : "";
    const what = `${done} of the ${total} opened leaves recomputed in this browser`;
    if (wrong > 0) show("wrong", `✕ ${what}: ${wrong} wrong.${cut}`);
    else if (done === 0) show("stopped", "Stopped before the first leaf.");
    else show("right", `✓ ${what}: each is right to the last bit, and leads to its committed root.${cut}`);
  };

  start.addEventListener("click", async () => {
    stopped = false;
    start.disabled = true;
    stop.hidden = false;
    bar.hidden = true;
    faults.hidden = true;
    faults.replaceChildren();
    show("running", "Checking challenge, chain and commitment …");
    await pause();
    try {
      await recompute();
    } catch (error) {
      show("failed", `This browser could not recompute: ${error.message}`);
    }
    bar.hidden = true;
    stop.hidden = true;
    start.disabled = false;
  });
  stop.addEventListener("click", () => {
    stopped = true;
  });
  section.hidden = false;
})();
