// The page of whoever runs the engine: asks every two seconds, and shows what it hears.

import { Chart } from "./charts.js";
import { Engine, Refused } from "./engine.js";
import { History, quantile, sum } from "./metrics.js";
import { bytes, clock, figure, knows, language, lasting, say } from "./words.js";

const KEY = "hakken-operator-key";
const EVERY = 2_000;
const SECONDS = 300;
const at = (id) => document.getElementById(id);

const state = { engine: null, viewer: null, history: new History(SECONDS), timer: 0, looked: null };

function make(kind, properties = {}, ...children) {
  const element = Object.assign(document.createElement(kind), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Replaces what changed only, so that a button keeps the focus while figures move. */
function update(parent, next) {
  const old = [...parent.childNodes];
  const fresh = [...next];
  fresh.forEach((node, index) => {
    const known = old[index];
    if (!known) parent.append(node);
    else if (known.nodeName !== node.nodeName || node.dataset?.own !== known.dataset?.own) {
      known.replaceWith(node);
    } else if (node.nodeType === Node.TEXT_NODE) {
      if (known.data !== node.data) known.data = node.data;
    } else {
      for (const name of known.getAttributeNames()) {
        if (!node.hasAttribute(name)) known.removeAttribute(name);
      }
      for (const name of node.getAttributeNames()) {
        const value = node.getAttribute(name);
        if (known.getAttribute(name) !== value) known.setAttribute(name, value);
      }
      if (node.onclick) known.onclick = node.onclick;
      if ("disabled" in node) known.disabled = node.disabled;
      if (node.nodeName === "PROGRESS" || node.nodeName === "METER") known.value = node.value;
      update(known, node.childNodes);
    }
  });
  old.slice(fresh.length).forEach((node) => node.remove());
}

function alarm(text) {
  at("alert").hidden = !text;
  if (at("alert").textContent !== text) at("alert").textContent = text;
}

function notice(text, bad = false) {
  at("notice").textContent = text;
  at("notice").classList.toggle("bad", bad);
}

/* Who asks */

function leave(message = "") {
  clearTimeout(state.timer);
  sessionStorage.removeItem(KEY);
  Object.assign(state, { engine: null, viewer: null, history: new History(SECONDS), looked: null });
  at("main").hidden = true;
  at("forget").hidden = true;
  at("enter").hidden = false;
  at("who").textContent = "";
  at("health").textContent = "";
  alarm(message);
  at("key").value = "";
  at("key").focus();
}

async function enter(key) {
  const engine = new Engine(key);
  try {
    const viewer = await engine.begin();
    if (viewer.role !== "OPERATOR") return leave(say("keyRole", { role: viewer.role }));
    sessionStorage.setItem(KEY, key);
    Object.assign(state, { engine, viewer });
  } catch (error) {
    if (error instanceof Refused) {
      const wrong = error.code === "UNAUTHENTICATED";
      return leave(wrong ? say("keyWrong") : say("refused", { message: error.message }));
    }
    // It may be starting: the key is kept, and tried again.
    sessionStorage.setItem(KEY, key);
    silent();
    state.timer = setTimeout(() => enter(key), EVERY);
    return undefined;
  }
  alarm("");
  at("enter").hidden = true;
  at("main").hidden = false;
  at("forget").hidden = false;
  const { label, engineVersion } = state.viewer;
  at("who").textContent = say("watching", { label, version: engineVersion });
  return look();
}

function silent() {
  alarm(say("gone"));
  at("main").classList.add("stale");
  pill("bad", say("silent"));
}

function pill(kind, text) {
  at("health").className = `pill ${kind}`;
  if (at("health").textContent !== text) at("health").textContent = text;
}

async function look() {
  clearTimeout(state.timer);
  const { engine, history } = state;
  if (!engine) return;
  try {
    const [metrics, ready, looked] = await Promise.all([
      engine.text("/metrics"), engine.text("/readyz"), engine.look(),
    ]);
    if (engine !== state.engine) return;
    history.add(metrics.text, Date.now());
    history.forgetBefore(() => notice(""));
    state.looked = looked;
    at("main").classList.remove("stale");
    const { reasons, concerns } = JSON.parse(ready.text);
    alarm([...reasons, ...concerns].join(" · "));
    pill(ready.status === 200 ? "good" : "bad", say(ready.status === 200 ? "ready" : "notReady"));
    show();
  } catch (error) {
    if (engine !== state.engine) return;
    if (error instanceof Refused && error.code === "UNAUTHENTICATED") return leave(say("keyWrong"));
    if (error instanceof Refused) alarm(say("refused", { message: error.message }));
    else silent();
  }
  state.timer = setTimeout(look, EVERY);
}

/* What is shown */

function tile(word, value, about = "", kind = "") {
  return make("div", { className: kind }, make("dt", { textContent: say(word) }),
    make("dd", { textContent: value }), make("dd", { textContent: about }));
}

const worse = (value, fair, bad) => (value >= bad ? "bad" : value >= fair ? "fair" : "good");

function tiles() {
  const { history } = state;
  const value = (name, wanted) => history.value(name, wanted);
  const works = value("hakken_write_loop_works") === 1;
  const queue = value("hakken_commands_waiting");
  const most = value("hakken_commands_waiting_limit");
  const lag = history.most("hakken_projection_lag_seconds") ?? 0;
  const positions = history.most("hakken_projection_lag_positions") ?? 0;
  const [p50, p99] = [0.5, 0.99].map((share) => newestQuantile(share));
  const batches = history.growth("hakken_batch_events_count");
  const events = history.growth("hakken_batch_events_sum");
  const minute = (name, wanted) => history.growth(name, wanted, 60);
  const mutations = minute("hakken_graphql_operations_total", { operation: "mutation" });
  const refused = minute("hakken_graphql_refusals_total");
  const share = mutations > 0 ? refused / mutations : 0;
  const free = value("hakken_disk_free_bytes");
  const full = free === undefined ? 0 : 1 - free / value("hakken_disk_size_bytes");
  const duty = value("hakken_on_duty") === 1;
  const backup = value("hakken_last_backup_time_seconds");
  const since = value("process_start_time_seconds");
  const ms = (seconds) => (seconds === undefined ? "–" : figure(seconds * 1000));
  return [
    tile("loop", say(works ? "loopWorks" : "loopFailed"), say("head", { n: figure(value("hakken_head_position")) }),
      works ? "good" : "bad"),
    tile("queue", figure(queue), say("ofMost", { most: figure(most) }), worse(queue / most, 0.5, 0.9)),
    tile("lag", lasting(lag), say("positions", { n: figure(positions) }), worse(lag, 5, 30)),
    tile("commit", `${ms(p50)} / ${ms(p99)} ms`, batches ? say("perBatch", { n: figure(events / batches) }) : "",
      worse(p99 ?? 0, 0.1, 1)),
    tile("refusedShare", `${figure(100 * share)} %`, say("ofOperations", { n: figure(mutations) }), worse(share, 0.3, 1.1)),
    tile("disk", bytes(free), say("ofSize", { size: bytes(value("hakken_disk_size_bytes")) }), worse(full, 0.85, 0.95)),
    tile("connections", figure(value("hakken_connections")), say("subscriptions", { n: figure(value("hakken_subscriptions")) })),
    tile("duty", say(duty ? "dutyYes" : "dutyNo"), say(duty ? "dutyAbout" : "dutyOther"), duty ? "good" : ""),
    tile("backup", backup === undefined ? say("backupNever") : clock(backup * 1000, true),
      backup === undefined ? "" : say("backupAt", { n: figure(value("hakken_last_backup_position")) }),
      backup === undefined ? "fair" : worse(Date.now() / 1000 - backup, 90_000, 180_000)),
    tile("since", since === undefined ? "–" : clock(since * 1000, true),
      say("restarts", { version: state.viewer.engineVersion })),
  ];
}

function newestQuantile(share) {
  const { kept } = state.history;
  const from = kept.at(-31) ?? kept[0];
  return quantile(from.samples, kept.at(-1).samples, "hakken_commit_duration_seconds", share);
}

const CHARTS = [
  ["throughput", ["holds", "orders", "scans"], (history) => [
    ["hold_seats"], ["place_order"], ["scan"],
  ].map(([kind]) => history.rates("hakken_commands_total", { kind, outcome: "happened" }))],
  ["commitChart", ["p50", "p99"], (history) => [0.5, 0.99].map((share) =>
    history.quantiles("hakken_commit_duration_seconds", share)
      .map(({ at, value }) => ({ at, value: value === undefined ? undefined : value * 1000 })))],
  ["requests", ["http", "mutations", "refusals"], (history) => [
    history.rates("hakken_http_requests_total"),
    history.rates("hakken_graphql_operations_total", { operation: "mutation" }),
    history.rates("hakken_graphql_refusals_total"),
  ]],
  ["queueChart", ["waiting"], (history) => [history.levels((s) => sum(s, "hakken_commands_waiting"))]],
  ["lagChart", ["lag"], (history) => [history.levels((s) =>
    Math.max(0, ...(s.get("hakken_projection_lag_seconds") ?? []).map(({ value }) => value)))]],
  ["events", ["durable"], (history) => [history.rates("hakken_events_appended_total")]],
].map(([title, names, lines]) => ({ lines, chart: new Chart(say(title), names.map((name) => say(name)), SECONDS) }));

function head(...names) {
  return make("thead", {}, make("tr", {}, ...names.map(([word, className]) =>
    make("th", { scope: "col", textContent: say(word), className: className ?? "" }))));
}

function cell(text, className = "") {
  return make("td", { textContent: text, className });
}

function body(rows, columns) {
  if (rows.length > 0) return make("tbody", {}, ...rows);
  const empty = Object.assign(cell(say("nothing"), "empty"), { colSpan: columns });
  return make("tbody", {}, make("tr", {}, empty));
}

function act(word, name, mutation, type, input, question) {
  const action = say(word);
  const label = name === undefined ? action : say("ofModel", { action, name });
  const button = make("button", { type: "button", textContent: action, title: label });
  button.setAttribute("aria-label", label);
  button.onclick = async () => {
    const reason = question ? await sure(label, question, input.reason === "") : "";
    if (reason === undefined) return;
    const full = input.reason === "" ? { ...input, reason, idempotencyKey: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` } : input;
    notice(say("begun", { action, name: name ?? "" }));
    try {
      const refused = await state.engine.change(mutation, type, full);
      if (refused) notice(refused, true);
    } catch (error) {
      notice(error instanceof Refused ? error.message : say("gone"), true);
    }
    look();
  };
  return state.engine.can(mutation) ? button : null;
}

/** Asks whether it is meant; gives the reason, if one is needed. Nothing if it is not. */
function sure(title, text, needsReason) {
  const dialog = at("ask");
  at("ask-title").textContent = title;
  at("ask-text").textContent = text;
  at("ask-label").textContent = say("reason");
  at("ask-yes").textContent = title.split(":")[0];
  for (const id of ["ask-label", "ask-reason"]) at(id).hidden = !needsReason;
  at("ask-reason").required = needsReason;
  at("ask-reason").value = "";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      // That the question before was closed may be told only now.
      if (dialog.open) return;
      resolve(dialog.returnValue === "yes" ? at("ask-reason").value : undefined);
    };
  });
}

function actions(model) {
  const { name, build, state: runs } = model;
  const of = (word, mutation, type, input, question) => act(word, name, mutation, type, input, question);
  const names = { names: [name] };
  const buttons = build
    ? [build.paused
        ? of("resumeBuild", "resumeRebuilds", "ResumeRebuildsInput", names)
        : of("pauseBuild", "pauseRebuilds", "PauseRebuildsInput", names),
      of("cancel", "cancelRebuilds", "CancelRebuildsInput", names, say("askCancel"))]
    : [of("rebuild", "rebuildProjections", "RebuildProjectionsInput", names, say("askRebuild", { name })),
      model.former ? of("swap", "swapBack", "SwapBackInput", names, say("askSwap", { name })) : null];
  if (runs === "STOPPED") {
    buttons.push(of("tryAgain", "resumeProjections", "ResumeProjectionsInput", names));
    const input = { projection: name, position: model.stoppedAt, reason: "" };
    buttons.push(of("skip", "skipEvent", "SkipEventInput", input, say("askSkip", { name, n: model.stoppedAt })));
  } else if (runs === "PAUSED") {
    buttons.push(of("resume", "resumeProjections", "ResumeProjectionsInput", names));
  } else {
    buttons.push(of("pause", "pauseProjections", "PauseProjectionsInput", names, say("askPause", { name })));
  }
  return buttons.filter((button) => button !== null);
}

function building(model) {
  const { build, lastBuild, lastBuildError, former, skipped } = model;
  const parts = [];
  const word = (name) => (knows(name) ? say(name) : name.toLowerCase());
  if (build) {
    const share = build.total > 0 ? Math.min(1, build.done / build.total) : 1;
    const progress = make("progress", { max: 1, value: share });
    progress.setAttribute("aria-label", say("ofModel", { action: word(build.kind), name: model.name }));
    progress.setAttribute("value", share);
    const told = [`${word(build.kind)}: ${word(build.phase)}`, `${figure(Math.floor(100 * share))} %`];
    if (build.paused) told.push(say("halted"));
    else {
      if (build.perSecond) told.push(say("speed", { n: figure(build.perSecond) }));
      if (build.secondsLeft) told.push(say("left", { time: lasting(build.secondsLeft) }));
    }
    parts.push(progress, make("small", { textContent: told.join(" · ") }));
  } else if (lastBuildError) {
    parts.push(make("small", { className: "bad", textContent: say("failed", { reason: lastBuildError }) }));
  } else if (lastBuild) {
    const { equal, firstDifference, seconds } = lastBuild;
    const reason = firstDifference ?? "";
    parts.push(make("small", { textContent: equal ? say("equal", { time: lasting(seconds) }) : say("differs", { reason }) }));
  }
  if (former) parts.push(make("small", { textContent: say("former", { time: clock(former.removedAt, true) }) }));
  if (skipped?.length) parts.push(make("small", { textContent: say("skipped", { n: skipped.length }) }));
  return make("td", { className: "build" }, ...parts);
}

function models() {
  const rows = (state.looked.projections ?? []).map((model) => {
    const kind = { RUNNING: "good", PAUSED: "fair" }[model.state] ?? "bad";
    const told = make("td", {}, make("span", { className: `pill ${kind}`, textContent: say(model.state.toLowerCase()) }));
    if (model.stoppedAt) told.append(make("small", { textContent: say("stoppedAt", { n: model.stoppedAt }) }));
    if (model.reason) told.append(make("small", { textContent: model.reason }));
    const behind = make("td", { className: "figure", textContent: figure(model.lagPositions) });
    if (model.lagSeconds > 0) behind.append(make("small", { textContent: lasting(model.lagSeconds) }));
    const row = make("tr", {}, make("th", { scope: "row", textContent: model.name }), told,
      cell(figure(Number(model.position)), "figure"), behind, building(model),
      make("td", { className: "actions" }, ...actions(model)));
    row.dataset.own = model.name;
    return row;
  });
  return [head(["name"], ["state"], ["position", "figure"], ["behind", "figure"], ["building"], ["actions", "figure"]),
    body(rows, 6)];
}

function codes() {
  const { history } = state;
  const all = [...history.all("hakken_graphql_refusals_total"), ...history.all("hakken_graphql_errors_total")];
  const names = [...new Set(all.map(({ labels }) => labels.code))];
  const counters = ["hakken_graphql_refusals_total", "hakken_graphql_errors_total"];
  const rows = names.map((code) => ({
    code,
    total: counters.reduce((sum, name) => sum + (history.value(name, { code }) ?? 0), 0),
    lately: counters.reduce((sum, name) => sum + history.growth(name, { code }), 0),
  })).sort((one, other) => other.lately - one.lately || other.total - one.total);
  const most = Math.max(1, ...rows.map(({ lately }) => lately));
  return [head(["code"], ["minute"], ["total", "figure"]), body(rows.map(({ code, total, lately }) => {
    const meter = make("meter", { min: 0, max: most, value: lately });
    meter.setAttribute("aria-label", code);
    const bar = make("td", {}, make("div", { className: "bar" }, make("span", { textContent: figure(lately) }), meter));
    return make("tr", {}, make("th", { scope: "row", textContent: code }), bar, cell(figure(total), "figure"));
  }), 3)];
}

function processes() {
  const rows = (state.looked.processes ?? []).map(({ name, position, unanswered, retries }) =>
    make("tr", {}, make("th", { scope: "row", textContent: name }), cell(figure(Number(position)), "figure"),
      cell(figure(unanswered), "figure"), cell(figure(retries), "figure")));
  return [head(["name"], ["position", "figure"], ["unanswered", "figure"], ["retries", "figure"]), body(rows, 4)];
}

function newest() {
  const rows = (state.looked.newestRefusals ?? []).slice(0, 20).map((one) => {
    const told = cell(one.message, "words");
    if (one.trace) told.append(make("small", { textContent: `trace ${one.trace}` }));
    return make("tr", {}, cell(clock(one.at)), make("th", { scope: "row", textContent: one.code }),
      cell(one.field ?? ""), told, cell(one.apiKeyId ?? ""));
  });
  return [head(["when"], ["code"], ["where"], ["what"], ["who"]), body(rows, 5)];
}

function show() {
  update(at("tiles"), tiles());
  const now = state.history.newest.at;
  for (const { chart, lines } of CHARTS) chart.show(lines(state.history), now);
  if (at("charts").childElementCount === 0) at("charts").append(...CHARTS.map(({ chart }) => chart.figure));
  const all = [act("rebuildAll", undefined, "rebuildProjections", "RebuildProjectionsInput", {}, say("askAll"))];
  update(at("all-actions"), all.filter((button) => button !== null));
  update(at("models"), models());
  update(at("processes"), processes());
  update(at("codes"), codes());
  update(at("newest"), newest());
}

/* Begin */

document.documentElement.lang = language;
for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
document.title = `Hakken — ${say("title")}`;
at("forget").onclick = () => leave();
at("enter").onsubmit = (event) => {
  event.preventDefault();
  clearTimeout(state.timer);
  enter(at("key").value.trim());
};
const kept = sessionStorage.getItem(KEY);
if (kept) enter(kept);
else at("key").focus();
