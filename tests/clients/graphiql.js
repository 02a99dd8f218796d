// GraphiQL in a real browser, as a newcomer meets it: a first query, a header that waits for the
// key, and the docs open; nothing is loaded from anywhere else.
import assert from "node:assert/strict";
import { browser } from "./browser.js";
import { open, seat, HOLD, url as endpoint } from "./sale.js";

const { HAKKEN_URL, HAKKEN_KEY, HAKKEN_CHROMIUM } = process.env;
const sale = await open("graphiql", 3);

const editor = (within) => `document.querySelector('${within} .CodeMirror')?.CodeMirror`;
const query = editor(".graphiql-query-editor");
const answer = editor(".result-window");
/** The editor of headers is the one that is shown below the query. */
const headers = `[...document.querySelectorAll('.graphiql-editor-tool .CodeMirror')]
  .find((editor) => !editor.closest('.graphiql-editor').classList.contains('hidden'))?.CodeMirror`;
const press = "document.querySelector('.graphiql-execute-button').click()";
const docs = "document.querySelector('.graphiql-doc-explorer')";

const { page: newPage, end } = await browser(HAKKEN_CHROMIUM);
try {
  const page = await newPage();
  await page.goTo(`${HAKKEN_URL}/graphiql`);
  await page.until("the first query", `${query}?.getValue().includes("query Welcome")`);
  const waiting = JSON.parse(await page.until("the headers", `${headers}?.getValue()`));
  assert.deepEqual(waiting, { Authorization: "Bearer YOUR-API-KEY" });
  // The docs are of this server, without a key.
  await page.until("the docs", `${docs}?.checkVisibility() && ${docs}.textContent.includes("Mutation")`);

  // Whoever presses at once is told what is missing, and it is nobody's key that was sent.
  await page.value(press);
  await page.until("the answer to nobody", `${answer}?.getValue().includes("UNAUTHENTICATED")`);

  // With the key the first query is answered.
  const written = JSON.stringify({ Authorization: `Bearer ${HAKKEN_KEY}` });
  await page.value(`${headers}.setValue(${JSON.stringify(written)})`);
  await page.until("the answer", `(() => {
    const told = ${answer}?.getValue() ?? "";
    if (told.includes('"role": "OPERATOR"')) return true;
    if (!document.querySelector('.graphiql-execute-button[aria-label*="Stop"]')) ${press};
    return false;
  })()`);

  // A subscription follows over the socket, with the same key.
  const follow = `subscription { events(after: ${sale.position}, kinds: ["seats-held"]) { kind position } }`;
  await page.value(`${query}.setValue(${JSON.stringify(follow)})`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await page.value(press);
  const held = await fetch(endpoint, {
    method: "POST",
    headers: { authorization: `Bearer ${sale.seller}`, "content-type": "application/json" },
    body: JSON.stringify({ query: HOLD, variables: seat(sale, 0) }),
  });
  const { position } = (await held.json()).data.holdSeats;
  await page.until("what is told live", `${answer}?.getValue().includes('"position": ${position}')`);

  // The key stays in the page, and what was asked is found again.
  const kept = JSON.parse(await page.value("JSON.stringify({ ...localStorage, ...sessionStorage })"));
  assert.ok(!JSON.stringify(kept).includes(HAKKEN_KEY), JSON.stringify(Object.keys(kept)));
  assert.ok(kept["graphiql:queries"]?.includes("query Welcome"), "the history is kept");

  const own = new URL(HAKKEN_URL).host;
  const foreign = page.requests.filter((asked) => !asked.startsWith("data:") && new URL(asked).host !== own);
  assert.deepEqual(foreign, [], "no other host is asked");
  assert.deepEqual(page.faults, []);
  console.log("read, asked and followed");
} finally {
  await end();
}
process.exit(0);
