// What the page says, in the language of whoever reads it.

const english = {
  title: "operations", forget: "Forget the key", enter: "Watch", no: "No",
  enterTitle: "For whoever runs the engine", keyLabel: "Operator key",
  keyAbout: "The key stays in this window, until it is closed, and is sent to this server alone.",
  now: "Now", charts: "The last five minutes", models: "Read models", processes: "Processes",
  codes: "Refusals and errors by code", newest: "The newest refusals and errors",
  footer: "Figures come from /metrics, all else from GraphQL. Every two seconds; times are this browser's.",
  keyWrong: "This key opens nothing: it is mistyped, unknown or revoked.",
  keyRole: "This key has the role {role}; the page needs a key with the role OPERATOR.",
  gone: "The server does not answer. What you see is old; the page asks again by itself.",
  refused: "The server does not carry this out: {message}",
  ready: "ready", notReady: "not ready", silent: "no answer", watching: "{label} · version {version}",
  queue: "Write queue", ofMost: "of {most}", ofSize: "of {size}", lag: "Furthest behind", positions: "{n} positions",
  commit: "Commit, p50 / p99", perBatch: "{n} events a batch", refusedShare: "Refused mutations",
  ofOperations: "of {n} a minute", disk: "Disk free", connections: "Connections",
  subscriptions: "{n} subscriptions", duty: "On duty", dutyYes: "this server", dutyNo: "another server",
  dutyAbout: "answers events and sweeps", dutyOther: "this one stands by", since: "Running since",
  restarts: "version {version}", loop: "Write loop", loopWorks: "works", loopFailed: "has stopped",
  head: "position {n}", backup: "Newest backup", backupNever: "none known", backupAt: "up to position {n}",
  throughput: "Sales, a second", holds: "holds", orders: "orders", scans: "scans",
  requests: "Requests, a second", http: "HTTP", mutations: "mutations", refusals: "refusals",
  commitChart: "Commit, milliseconds", p50: "p50", p99: "p99", queueChart: "Write queue",
  waiting: "waiting", lagChart: "Furthest behind, seconds", events: "Events made durable, a second",
  durable: "events", name: "Name", state: "State", position: "Position", behind: "Behind",
  building: "Rebuild", actions: "Actions", unanswered: "Unanswered", retries: "Retries", code: "Code",
  total: "Since the start", minute: "Last five minutes", when: "When", where: "Field", what: "What was said",
  who: "Key", nothing: "Nothing so far.", running: "running", paused: "paused", stopped: "stopped",
  retrying: "tries again", FOLDING: "folding", INDEXING: "indexing", COMPARING: "comparing",
  CONFIRMING: "confirming", REBUILD: "rebuild", VERIFY: "verification", SWAP_BACK: "swap back",
  REBUILD_SHOW: "rebuild of one show", left: "{time} left", speed: "{n}/s", halted: "halted",
  equal: "the last one found both the same, {time}", differs: "the last one differed: {reason}",
  failed: "the last one failed: {reason}", former: "former rows until {time}", skipped: "{n} events left out",
  rebuild: "Rebuild", rebuildAll: "Rebuild all", verify: "Verify", pauseBuild: "Halt", resumeBuild: "Go on",
  cancel: "End", pause: "Pause", resume: "Resume", tryAgain: "Try again", swap: "Swap back", skip: "Leave out",
  ofModel: "{action}: {name}", stoppedAt: "stopped at position {n}", begun: "{action}: {name} — begun.",
  askRebuild: "{name} is built anew from the events beside what it serves, compared, and swapped in. Queries go on.",
  askAll: "Every read model is built anew, compared, and swapped in. Queries go on; it takes processor time and disk.",
  askCancel: "What was built until now is thrown away. What is served stays.",
  askSwap: "{name} serves the rows again that it served before, once they have caught up.",
  askPause: "{name} folds nothing more until it is resumed: what it serves gets old.",
  askSkip: "{name} leaves out the event at position {n} for ever. This is recorded, with your key and the reason.",
  reason: "Reason", seconds: "{n} s", minutes: "{n} min", hours: "{n} h", missing: "not in this version",
};

const japanese = {
  title: "運用", forget: "キーを忘れる", enter: "表示する", no: "いいえ",
  enterTitle: "エンジンの運用担当者へ", keyLabel: "オペレーターキー",
  keyAbout: "キーはこのウィンドウを閉じるまでここにだけ保持され、このサーバーにだけ送られます。",
  now: "現在", charts: "直近5分間", models: "リードモデル", processes: "プロセス",
  codes: "コード別の拒否とエラー", newest: "最近の拒否とエラー",
  footer: "数値は /metrics、その他は GraphQL から2秒ごとに取得します。時刻はこのブラウザのものです。",
  keyWrong: "このキーは使えません。入力間違い、未登録、または失効しています。",
  keyRole: "このキーの役割は {role} です。このページには OPERATOR のキーが必要です。",
  gone: "サーバーが応答しません。表示は古い情報です。自動的に再接続します。",
  refused: "サーバーが実行を拒否しました: {message}",
  ready: "正常", notReady: "準備未完了", silent: "応答なし", watching: "{label} · バージョン {version}",
  queue: "書き込み待ち", ofMost: "上限 {most}", ofSize: "全体 {size}", lag: "最大の遅れ", positions: "{n} 件",
  commit: "コミット p50 / p99", perBatch: "1バッチ {n} イベント", refusedShare: "拒否された操作",
  ofOperations: "毎分 {n} 件中", disk: "ディスク空き", connections: "接続数",
  subscriptions: "購読 {n} 件", duty: "担当", dutyYes: "このサーバー", dutyNo: "別のサーバー",
  dutyAbout: "イベントに応答中", dutyOther: "待機中", since: "起動時刻",
  restarts: "バージョン {version}", loop: "書き込みループ", loopWorks: "稼働中", loopFailed: "停止",
  head: "位置 {n}", backup: "最新のバックアップ", backupNever: "記録なし", backupAt: "位置 {n} まで",
  throughput: "販売(毎秒)", holds: "仮押さえ", orders: "注文", scans: "検札",
  requests: "リクエスト(毎秒)", http: "HTTP", mutations: "変更", refusals: "拒否",
  commitChart: "コミット(ミリ秒)", p50: "p50", p99: "p99", queueChart: "書き込み待ち",
  waiting: "待ち", lagChart: "最大の遅れ(秒)", events: "永続化イベント(毎秒)",
  durable: "イベント", name: "名前", state: "状態", position: "位置", behind: "遅れ",
  building: "再構築", actions: "操作", unanswered: "未応答", retries: "再試行", code: "コード",
  total: "起動以降", minute: "直近5分", when: "時刻", where: "フィールド", what: "内容",
  who: "キー", nothing: "まだありません。", running: "稼働中", paused: "一時停止", stopped: "停止",
  retrying: "再試行中", FOLDING: "畳み込み", INDEXING: "索引作成", COMPARING: "比較",
  CONFIRMING: "確認", REBUILD: "再構築", VERIFY: "検証", SWAP_BACK: "元に戻す",
  REBUILD_SHOW: "公演の再構築", left: "残り {time}", speed: "{n}/秒", halted: "中断中",
  equal: "前回は一致しました({time})", differs: "前回は差異あり: {reason}",
  failed: "前回は失敗: {reason}", former: "旧データ保持 {time} まで", skipped: "除外 {n} 件",
  rebuild: "再構築", rebuildAll: "すべて再構築", verify: "検証", pauseBuild: "中断", resumeBuild: "続行",
  cancel: "中止", pause: "一時停止", resume: "再開", tryAgain: "再試行", swap: "元に戻す", skip: "除外",
  ofModel: "{action}: {name}", stoppedAt: "位置 {n} で停止", begun: "{action}: {name} を開始しました。",
  askRebuild: "{name} を提供中のデータの横でイベントから作り直し、比較して入れ替えます。照会は続きます。",
  askAll: "すべてのリードモデルを作り直し、比較して入れ替えます。照会は続きますが、CPUとディスクを使います。",
  askCancel: "ここまで作ったものは破棄されます。提供中のデータはそのままです。",
  askSwap: "{name} は以前のデータに追いついた後、それを再び提供します。",
  askPause: "{name} は再開するまで更新されず、提供されるデータは古くなります。",
  askSkip: "{name} は位置 {n} のイベントを今後ずっと除外します。キーと理由が記録されます。",
  reason: "理由", seconds: "{n} 秒", minutes: "{n} 分", hours: "{n} 時間", missing: "この版にはありません",
};

export const language = navigator.language.toLowerCase().startsWith("ja") ? "ja" : "en";
const words = language === "ja" ? japanese : english;

export function say(word, values = {}) {
  const text = words[word] ?? word;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

export function knows(word) {
  return word in words;
}

/** Both have the same words: the test of the page asks. */
export function missing() {
  const of = (one, other) => Object.keys(one).filter((word) => !(word in other));
  return [...of(english, japanese), ...of(japanese, english)];
}

const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });

export function figure(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return "–";
  return Math.abs(value) >= 100 || Number.isInteger(value) ? whole.format(value) : fine.format(value);
}

export function bytes(value) {
  if (value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
  return `${fine.format(value)} ${units[at]}`;
}

export function lasting(seconds) {
  if (seconds < 100) return say("seconds", { n: fine.format(seconds) });
  if (seconds < 6000) return say("minutes", { n: whole.format(seconds / 60) });
  return say("hours", { n: fine.format(seconds / 3600) });
}

export function clock(at, withDay = false) {
  const options = withDay ? { dateStyle: "short", timeStyle: "short", hourCycle: "h23" } : { timeStyle: "medium", hourCycle: "h23" };
  return new Intl.DateTimeFormat(language, options).format(new Date(at));
}
