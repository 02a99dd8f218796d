// Reads the text of /metrics, and keeps what was read in the last five minutes.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"(?:,|$)/g;

/** A map from names to samples: `{ labels, value }`. */
export function parse(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const found = SAMPLE.exec(line);
    if (!found) throw new Error(`no sample: ${line}`);
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) labels[name] = value;
    const value = found[3] === "+Inf" ? Infinity : Number(found[3]);
    if (!samples.has(found[1])) samples.set(found[1], []);
    samples.get(found[1]).push({ labels, value });
  }
  return samples;
}

const matches = (labels, wanted) =>
  Object.entries(wanted).every(([name, value]) => labels[name] === value);

/** What is kept of /metrics, oldest first. */
export class History {
  constructor(seconds) {
    this.seconds = seconds;
    this.kept = [];
  }

  add(text, at) {
    this.kept.push({ at, samples: parse(text) });
    while (this.kept.length > 2 && this.kept[0].at < at - this.seconds * 1000) this.kept.shift();
  }

  /** After a restart counters begin anew: what was before says nothing any more. */
  forgetBefore(restart) {
    const start = (entry) => sum(entry.samples, "process_start_time_seconds");
    if (this.kept.length > 1 && start(this.kept.at(-1)) !== start(this.kept.at(-2))) {
      this.kept = this.kept.slice(-1);
      restart();
    }
  }

  get newest() {
    return this.kept.at(-1);
  }

  all(name) {
    return this.newest?.samples.get(name) ?? [];
  }

  value(name, wanted = {}) {
    const found = this.all(name).filter(({ labels }) => matches(labels, wanted));
    return found.length === 0 ? undefined : found.reduce((all, { value }) => all + value, 0);
  }

  most(name) {
    const values = this.all(name).map(({ value }) => value);
    return values.length === 0 ? undefined : Math.max(...values);
  }

  /** How much a counter grew in the last so many seconds. */
  growth(name, wanted = {}, seconds = this.seconds) {
    const newest = this.newest;
    if (!newest) return 0;
    const from = this.kept.find(({ at }) => at >= newest.at - seconds * 1000) ?? newest;
    return Math.max(0, sum(newest.samples, name, wanted) - sum(from.samples, name, wanted));
  }

  /** A counter's growth each second, between readings that are `width` apart. */
  rates(name, wanted = {}, width = 3) {
    return this.kept.slice(1).map((entry, at) => {
      const before = this.kept[Math.max(0, at + 1 - width)];
      const grown = sum(entry.samples, name, wanted) - sum(before.samples, name, wanted);
      return { at: entry.at, value: Math.max(0, grown) / ((entry.at - before.at) / 1000) };
    });
  }

  levels(of) {
    return this.kept.map(({ at, samples }) => ({ at, value: of(samples) }));
  }

  /** Quantiles of a histogram, between readings that are `width` apart. */
  quantiles(name, share, width = 5) {
    return this.kept.slice(1).map((entry, at) => {
      const before = this.kept[Math.max(0, at + 1 - width)];
      return { at: entry.at, value: quantile(before.samples, entry.samples, name, share) };
    });
  }
}

export function sum(samples, name, wanted = {}) {
  const found = samples.get(name) ?? [];
  return found.reduce((all, { labels, value }) => all + (matches(labels, wanted) ? value : 0), 0);
}

/** As Prometheus has it: straight between the bounds of the bucket. None where nothing was. */
export function quantile(before, after, name, share) {
  const old = new Map((before.get(`${name}_bucket`) ?? []).map((s) => [s.labels.le, s.value]));
  const buckets = (after.get(`${name}_bucket`) ?? []).map(({ labels, value }) => ({
    most: labels.le === "+Inf" ? Infinity : Number(labels.le),
    count: value - (old.get(labels.le) ?? 0),
  }));
  const total = buckets.at(-1)?.count ?? 0;
  if (total <= 0) return undefined;
  const wanted = share * total;
  let least = 0;
  let below = 0;
  for (const { most, count } of buckets) {
    if (count >= wanted) {
      if (most === Infinity) return least;
      return least + ((most - least) * (wanted - below)) / Math.max(1e-9, count - below);
    }
    least = most;
    below = count;
  }
  return least;
}
