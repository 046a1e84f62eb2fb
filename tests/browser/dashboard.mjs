// Drives `attest dashboard` in headless Chromium: node dashboard.mjs ATTEST [SCREENSHOTS]
//
// A ledger with real sessions, and rows that attack whoever looks, is served while sessions
// are written to it. The pages must show them without being loaded again, keep filters in
// their addresses, work without scripts, print nothing on the console, run nothing that
// stands in the ledger, and have no serious fault of accessibility.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ATTACKS, PHONE, attest, closed, faults, fits, folder, opened, program, shot } from "./common.mjs";

const ledger = join(folder, "ledger.sqlite");
const small = ["--dim", "128", "--matrices", "1", "--iterations", "2", "--samples", "2"];

/// A live session with a miner on the CPU, which the validator verifies.
const session = (...more) =>
  program("validate", "--ledger", ledger, "--no-policy", ...small, ...more, "--json", "--", attest, "respond", "--executor", "cpu");

/// A result that is verified outside of a session.
function handedIn() {
  const token = program("challenge", "--ledger", ledger, ...small).trim();
  const file = join(folder, "result.json");
  program("run", "--challenge", token, "--executor", "cpu", "--out", file);
  program("verify", file, "--challenge", token, "--ledger", ledger);
}

/// Puts attacks wherever a miner's texts stand; SQLite's own library writes them, beside the
/// dashboard that reads.
const ATTACKER = `
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60)
attacks = json.loads(sys.argv[2])
text = " ".join(attacks)
claim = {"grade": "claimed", "subject": "lane", "text": text}
with db:
    db.execute("UPDATE sightings SET serial = ?, pci = ?, host = ?", (attacks[0], attacks[1], text))
    db.execute("UPDATE meetings SET address = ?", (text,))
    db.execute("INSERT INTO meetings (met, address, code) VALUES (1900000000000, ?, ?)", (text, attacks[2]))
    c, verdict = db.execute("SELECT c, verdict_json FROM challenges WHERE outcome IS NOT NULL LIMIT 1").fetchone()
    verdict = json.loads(verdict)
    verdict["facts"] = [claim | {"text": f"{fact['text']} {text}"} for fact in verdict["facts"]]
    verdict["detail"] = text
    db.execute("UPDATE challenges SET outcome = 'rejected', code = ?, verdict_json = ? WHERE c = ?",
               (text, json.dumps(verdict), c))
`;
const attacked = () => execFileSync("python3", ["-c", ATTACKER, ledger, JSON.stringify(ATTACKS)], { stdio: "inherit" });

const children = [];
/// The dashboard, and where it is.
async function served(file) {
  const child = spawn(attest, ["dashboard", "--ledger", file, "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  for await (const line of createInterface(child.stdout)) return line.replace(/\/$/, "");
  throw new Error("the dashboard printed no address");
}

const count = async (page, outcome) => Number(await page.innerText(`.tile[data-outcome=${outcome}] b`));
const until = (page, what, value) => page.waitForFunction(what, value, { polling: 200 });
const tileIs = ([outcome, number]) => document.querySelector(`.tile[data-outcome=${outcome}] b`).textContent === String(number);

try {
  session();
  handedIn();
  const site = await served(ledger);
  const own = { mayAsk: (url) => url.startsWith(`${site}/`) };

  await opened(`${site}/`, own, async (page) => {
    assert.match(await page.title(), /Overview/);
    await until(page, () => document.getElementById("state").dataset.state === "live");
    const before = await count(page, "verified");
    await page.evaluate("window.stays = 1");
    await page.focus("#content .tile[data-outcome=verified]");
    session();
    await until(page, tileIs, ["verified", before + 1]);
    assert.equal(await page.evaluate("window.stays"), 1, "the page was not loaded again");
    assert.equal(await page.evaluate("document.activeElement.dataset.outcome"), "verified", "focus stays");
    assert.match(await page.innerText("#said"), /Updated: .* verified/);
  });
  console.log("a session is seen while the page stands");

  await opened(`${site}/`, own, async (page) => {
    await page.selectOption("[name=outcome]", "verified");
    await page.fill("[name=text]", "e");
    await page.click("form.filters button");
    await page.waitForURL(`${site}/?outcome=verified&text=e`);
    await page.reload();
    assert.equal(await page.inputValue("[name=outcome]"), "verified");
    assert.equal(await page.inputValue("[name=text]"), "e");
    assert.equal(await count(page, "rejected"), 0);
    assert.ok((await count(page, "verified")) > 0);
    await page.click("nav >> text=Devices");
    await page.waitForURL(`${site}/devices?outcome=verified&text=e`);
    await page.click("#content th a");
    await page.waitForURL(`${site}/device/*`);
    await page.goBack();
    await page.click("text=Clear");
    await page.waitForURL(`${site}/devices`);
  });
  console.log("filters stand in the address");

  await opened(`${site}/`, { ...own, javaScriptEnabled: false }, async (page) => {
    assert.match(await page.innerText("#state"), /Reload/);
    await page.selectOption("[name=outcome]", "rejected");
    await page.click("form.filters button");
    await page.waitForURL(/outcome=rejected/);
    assert.equal(await page.inputValue("[name=outcome]"), "rejected");
    assert.match(await page.innerText("#content"), /Latest verdicts/);
  });
  console.log("without scripts there is the same to see");

  await opened(`${site}/`, own, async (page) => {
    await until(page, () => document.getElementById("state").dataset.state === "live");
    renameSync(ledger, `${ledger}.away`);
    await page.waitForSelector(".lost");
    assert.match(await page.innerText("#state"), /lost/);
    await shot(page, "dashboard-lost.png");
    assert.deepEqual(await faults(page), [], "lost");
    renameSync(`${ledger}.away`, ledger);
    await page.waitForSelector(".lost", { state: "detached" });
    await until(page, () => document.getElementById("state").dataset.state === "live");
  });
  console.log("a lost ledger is said, and found again");

  program("challenge", "--ledger", ledger, ...small);
  const device = await (async () => {
    let to;
    await opened(`${site}/devices`, own, async (page) => { to = await page.getAttribute("#content th a", "href"); });
    return to;
  })();
  const views = { overview: "/", miners: "/miners", devices: "/devices", device, rates: "/rates" };
  for (const [name, path] of Object.entries(views)) {
    for (const colorScheme of ["light", "dark"]) {
      await opened(site + path, { ...own, colorScheme }, async (page) => {
        await shot(page, `dashboard-${name}-${colorScheme}.png`);
        assert.deepEqual(await faults(page), [], `${name}, ${colorScheme}`);
      });
    }
    await opened(site + path, { ...own, viewport: PHONE }, async (page) => {
      await shot(page, `dashboard-${name}-phone.png`);
      await fits(page, name);
    });
  }
  console.log("no serious fault of accessibility in any view");

  attacked();
  // What a session named does not change by itself: it is read once.
  const other = await served(ledger);
  const theirs = { mayAsk: (url) => url.startsWith(`${other}/`) };
  const text = encodeURIComponent(ATTACKS.slice(0, 2).join(" "));
  const challenge = await (async () => {
    let to;
    await opened(`${other}/?outcome=rejected`, theirs, async (page) => {
      await page.waitForSelector("code:has-text('window.attacked')");
      to = await page.getAttribute("#verdicts-title ~ .scroll th a", "href");
    });
    return to;
  })();
  // A browser says by itself that an answer's status is 400 or 404.
  const expected = /Failed to load resource: .* status of 40[04]/;
  const asked = [`/?text=${text}`, `/rates?model=${text}`, `/?${text}=1`, `/${text}`];
  for (const path of [...Object.values(views), challenge, ...asked]) {
    await opened(other + path, { ...theirs, expected }, async (page) => {
      assert.equal(await page.$("img, body[onload], a[href^=javascript], main script, svg[onload]"), null, path);
    });
  }
  await opened(other + device, theirs, async (page) => {
    const body = await page.innerText("body");
    assert.ok(body.includes(ATTACKS[0]), "an attack is shown as it is");
    await shot(page, "dashboard-attacked.png");
    assert.deepEqual(await faults(page), [], "attacked");
  });
  console.log("texts of a miner that attack are shown and run nothing");
} finally {
  for (const child of children) child.kill();
  await closed();
}
console.log("dashboard: all passed");
