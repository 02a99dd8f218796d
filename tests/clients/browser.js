// A Chromium without a window, told what to do over its DevTools protocol.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";

const PATIENCE = 60_000;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts a browser; `end` ends it and takes its files away. */
export async function browser(program) {
  const folder = await mkdtemp(join(tmpdir(), "hakken-browser-"));
  const child = spawn(program, [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--remote-debugging-port=0", "--window-size=1400,1500",
    `--user-data-dir=${folder}`, "about:blank",
  ], { stdio: ["ignore", "ignore", "pipe"] });
  const address = await new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (bytes) => {
      said += bytes;
      const found = /DevTools listening on (ws:\/\/\S+)/.exec(said);
      if (found) resolve(found[1]);
    });
    child.on("exit", () => reject(new Error(`the browser ended: ${said.slice(-2_000)}`)));
    setTimeout(() => reject(new Error(`the browser does not start: ${said}`)), PATIENCE).unref();
  });
  const wire = new Wire(address);
  await wire.opened;
  const end = async () => {
    wire.close();
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  return { page: (options) => Page.open(wire, options), end };
}

class Wire {
  constructor(address) {
    this.socket = new WebSocket(address);
    this.waiting = new Map();
    this.heard = [];
    this.next = 1;
    this.opened = new Promise((resolve, reject) => {
      this.socket.once("open", resolve);
      this.socket.once("error", reject);
    });
    this.socket.on("message", (text) => {
      const { id, result, error, method, params, sessionId } = JSON.parse(text);
      if (id === undefined) {
        for (const listener of this.heard) listener(sessionId, method, params);
        return;
      }
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) reject(new Error(error.message));
      else resolve(result);
    });
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.next++;
    this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  close() {
    this.socket.terminate();
  }
}

/** A page, and what went wrong in it. */
class Page {
  static async open(wire, { language = "en", dark = false } = {}) {
    const page = new Page();
    const { targetId } = await wire.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await wire.send("Target.attachToTarget", { targetId, flatten: true });
    page.send = (method, params) => wire.send(method, params, sessionId);
    page.faults = [];
    page.requests = [];
    wire.heard.push((session, method, params) => {
      if (session !== sessionId) return;
      if (method === "Runtime.exceptionThrown") page.faults.push(params.exceptionDetails.exception?.description);
      if (method === "Log.entryAdded" && params.entry.source === "security") page.faults.push(params.entry.text);
      if (method === "Network.requestWillBeSent") page.requests.push(params.request.url);
    });
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.send(`${domain}.enable`);
    const { userAgent } = await page.send("Browser.getVersion");
    await page.send("Network.setUserAgentOverride", { userAgent, acceptLanguage: language });
    const features = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
    await page.send("Emulation.setEmulatedMedia", { features });
    return page;
  }

  goTo(url) {
    return this.send("Page.navigate", { url });
  }

  /** What an expression gives in the page. */
  async value(expression) {
    const asked = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", asked);
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description}`);
    return result.value;
  }

  /** Waits until an expression gives something true, and gives it. */
  async until(what, expression) {
    const begun = Date.now();
    let found;
    while (Date.now() - begun < PATIENCE) {
      // While a page is being loaded there may be nothing to ask yet.
      found = await this.value(expression).catch(() => undefined);
      if (found) return found;
      await pause(100);
    }
    const text = await this.value("document.body.innerText").catch(() => "");
    throw new Error(`${what} does not come: ${found}\n${text}`);
  }

  /** Types as a person does, with the keyboard. */
  async type(text) {
    await this.send("Input.insertText", { text });
  }

  async press(key) {
    const codes = { Enter: 13, Tab: 9, Escape: 27 };
    const event = { key, code: key, windowsVirtualKeyCode: codes[key], text: key === "Enter" ? "\r" : undefined };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event, text: undefined });
  }

  async picture(file) {
    const { data } = await this.send("Page.captureScreenshot", { captureBeyondViewport: true });
    await writeFile(file, Buffer.from(data, "base64"));
  }
}
