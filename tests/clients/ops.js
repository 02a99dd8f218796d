// The page of whoever runs the engine, in a real browser, while tickets are sold.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { browser } from "./browser.js";

const { HAKKEN_PROGRAM, HAKKEN_DATA_DIR, HAKKEN_CHROMIUM, HAKKEN_PICTURES } = process.env;

/** A server on the data, at this address; gives its process, its url and the first key. */
function serve(listen) {
  const env = { ...process.env, HAKKEN_DATA: HAKKEN_DATA_DIR };
  const child = spawn(HAKKEN_PROGRAM, ["serve", "--listen", listen], { env, stdio: ["ignore", "pipe", "ignore"] });
  return new Promise((resolve, reject) => {
    let said = "";
    child.stdout.on("data", (bytes) => {
      said += bytes;
      const url = /Hakken serves (\S+)\/graphql/.exec(said)?.[1];
      const key = /^\s*(hk_\S+)$/m.exec(said)?.[1];
      if (url && (key || listen !== "127.0.0.1:0")) resolve({ child, url, key });
    });
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
  });
}

const end = (child) => {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  return ended;
};

const first = await serve("127.0.0.1:0");
process.env.HAKKEN_URL = first.url;
process.env.HAKKEN_KEY = first.key;
const { open, seat, HOLD } = await import("./sale.js");

async function ask(key, query, variables) {
  const answer = await fetch(`${first.url}/graphql`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  return answer.json();
}

const sale = await open("ops", 400);
let sold = 0;
const sell = async (count) => {
  for (let at = 0; at < count; at += 1, sold += 1) await ask(sale.seller, HOLD, seat(sale, sold));
};

const text = (id) => `document.getElementById("${id}").textContent`;
const tile = (name) => `[...document.querySelectorAll("#tiles > div")]
  .find((tile) => tile.querySelector("dt").textContent === "${name}")?.querySelector("dd").textContent`;
const row = (name) => `document.querySelector('#models tr[data-own="${name}"]')`;
const press = (page, label) => page.value(`document.querySelector('button[aria-label="${label}"]').click()`);
const shown = "!document.getElementById('main').hidden && document.querySelectorAll('#models tbody tr').length > 1";

const { page: newPage, end: endBrowser } = await browser(HAKKEN_CHROMIUM);
try {
  const page = await newPage();
  await page.goTo(`${first.url}/ops`);

  // Without a key it shows nothing, and asks nothing.
  await page.until("the form", "document.activeElement?.id === 'key'");
  assert.equal(await page.value("document.getElementById('main').hidden"), true);
  assert.ok(page.requests.every((url) => !url.includes("/graphql") && !url.endsWith("/metrics")), page.requests);

  // Wrong keys are told so, and are not kept. All of it with the keyboard.
  await page.type("hk_00000000000000000000000000_nonsense");
  await page.press("Enter");
  await page.until("what is wrong with the key", `${text("alert")}.includes("opens nothing")`);
  await page.type(sale.auditor);
  await page.press("Enter");
  await page.until("what the key may not", `${text("alert")}.includes("AUDITOR")`);
  assert.equal(await page.value("sessionStorage.length"), 0);
  await page.type(first.key);
  await page.press("Enter");
  await page.until("the figures", shown);
  assert.equal(await page.value("location.href"), `${first.url}/ops`, "the key is in no address");

  // What is sold moves the figures.
  const before = await page.value(text("tiles"));
  await sell(120);
  await ask(sale.seller, HOLD, { input: { ...seat(sale, 0).input, idempotencyKey: "again" } });
  await page.until("figures that move", `${text("tiles")} !== ${JSON.stringify(before)}`);
  await page.until("the refusal", `${text("codes")}.includes("SEAT_TAKEN") && ${text("newest")}.includes("holdSeats")`);
  await page.until("a line of sales", `document.querySelector("#charts path.one") !== null
    && /holds [1-9]/.test(document.querySelector("#charts svg").getAttribute("aria-label"))`);
  const head = await page.value(`Number(${tile("Write loop")} === "works")`);
  assert.equal(head, 1);
  await page.until("a measured commit", `/\\d.* ms/.test(${tile("Commit, p50 / p99")})`);

  // A rebuild that is halted is seen halted, goes on from the page, and ends well.
  const names = ["orders"];
  const halt = `mutation($all: RebuildProjectionsInput!, $halt: PauseRebuildsInput!) {
    rebuildProjections(input: $all) { userErrors { code } } pauseRebuilds(input: $halt) { userErrors { code } } }`;
  const goOn = "Go on: orders";
  let halted = false;
  for (let tries = 0; tries < 5 && !halted; tries += 1) {
    await ask(first.key, halt, { all: { names }, halt: { names } });
    await sell(10);
    halted = await page.until("the rebuild", `${row("orders")}.querySelector("progress") ? "halted"
      : ${row("orders")}.textContent.includes("found both the same") ? "over" : ""`) === "halted";
  }
  if (halted) {
    await page.until("the halted rebuild", `${row("orders")}.textContent.includes("halted")`);
    const progress = await page.value(`${row("orders")}.querySelector("progress").getAttribute("aria-label")`);
    assert.match(progress, /orders/);
    if (HAKKEN_PICTURES) await page.picture(join(HAKKEN_PICTURES, "ops-light.png"));
    await press(page, goOn);
  }
  await page.until("the end of the rebuild", `${row("orders")}.textContent.includes("found both the same")`);

  // One from the page itself; it asks first, and Escape means no.
  await press(page, "Rebuild: tickets");
  await page.until("the question", "document.getElementById('ask').open");
  await page.press("Escape");
  await page.until("no question", "!document.getElementById('ask').open");
  assert.ok(!(await page.value(`${row("tickets")}.textContent`)).includes("both the same"));
  await press(page, "Rebuild: tickets");
  await page.until("the question", "document.getElementById('ask').open");
  await page.value("document.getElementById('ask-yes').click()");
  await page.until("the rebuilt model", `${row("tickets")}.textContent.includes("found both the same")`);

  // A read model is paused and resumed, and its state is shown.
  await press(page, "Pause: scans");
  await page.until("the question", "document.getElementById('ask').open");
  await page.value("document.getElementById('ask-yes').click()");
  await page.until("the paused model", `${row("scans")}.textContent.includes("paused")`);
  await press(page, "Resume: scans");
  await page.until("the running model", `${row("scans")}.textContent.includes("running")`);

  // Everything that can be pressed or read has a name, and figures of figures are described.
  const unnamed = await page.value(`[...document.querySelectorAll("button, input, svg, progress, meter")]
    .filter((one) => one.checkVisibility?.() && !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length))
    .map((one) => one.outerHTML)`);
  assert.deepEqual(unnamed, []);

  // In Japanese, in the dark; both languages have the same words.
  const japanese = await newPage({ language: "ja", dark: true });
  await japanese.goTo(`${first.url}/ops`);
  await japanese.until("the form", "document.activeElement?.id === 'key'");
  assert.equal(await japanese.value("document.documentElement.lang"), "ja");
  assert.deepEqual(await japanese.value("import('/ops/words.js').then((words) => words.missing())"), []);
  await japanese.type(first.key);
  await japanese.press("Enter");
  await japanese.until("the figures", shown);
  await sell(60);
  await japanese.until("a line", `document.querySelector("#charts path.one") !== null`);
  assert.match(await japanese.value("document.body.innerText"), /リードモデル/);
  if (HAKKEN_PICTURES) {
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    await japanese.picture(join(HAKKEN_PICTURES, "ops-dark.png"));
  }

  // The server stops: the page says so, keeps what it had, and recovers by itself.
  await end(first.child);
  await page.until("that nobody answers", `${text("alert")}.includes("does not answer")`);
  const again = await serve(new URL(first.url).host);
  try {
    await page.until("the recovery", `document.getElementById("alert").hidden && ${text("health")} === "ready"`);
    await page.until("figures of the new process", `document.querySelectorAll("#models tbody tr").length > 1`);

    // A key that is forgotten is gone.
    await page.value("document.getElementById('forget').click()");
    assert.equal(await page.value("sessionStorage.length"), 0);
    assert.equal(await page.value("document.getElementById('main').hidden"), true);
  } finally {
    await end(again.child);
  }
  const foreign = [...page.requests, ...japanese.requests].filter((url) => !url.startsWith(first.url) && !url.startsWith("data:"));
  assert.deepEqual(foreign, [], "no other host is asked");
  assert.deepEqual([...page.faults, ...japanese.faults], []);
  console.log(`${sold} seats held; rebuild seen halted: ${halted}`);
} finally {
  first.child.kill("SIGKILL");
  await endBrowser();
}
