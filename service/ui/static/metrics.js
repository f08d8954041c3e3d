// Reads the server's metrics page, and computes rates and quantiles from two readings of it.

const LINE = /^(\w+)(?:\{(.*)\})? ([^ ]+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** `[name, labels, value]` of each sample of the text format. */
export function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, "$1");
    samples.push([found[1], labels, Number(found[3].replace("+Inf", "Infinity"))]);
  }
  return samples;
}

/** The figures of each model in one reading: counters, gauges and the buckets of two histograms. */
export function reading(text, time) {
  const models = new Map();
  const of = (name) => {
    if (!models.has(name)) {
      models.set(name, { requests: 0, errors: 0, images: 0, depth: 0, flight: 0, batches: 0, rows: 0, buckets: new Map() });
    }
    return models.get(name);
  };
  const add = (buckets, bound, value) => buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  for (const [name, { model, le, code, protocol }, value] of parse(text)) {
    if (!model || protocol === "explain") continue; // explanations are no inferences
    const each = of(model);
    if (name === "convserve_requests_total") {
      each.requests += value;
      if (!["200", "OK"].includes(code)) each.errors += value;
    } else if (name === "convserve_images_total") each.images += value;
    else if (name === "convserve_queue_depth") each.depth += value;
    else if (name === "convserve_images_in_flight") each.flight += value;
    else if (name === "convserve_batch_size_count") each.batches += value;
    else if (name === "convserve_batch_size_sum") each.rows += value;
    else if (name === "convserve_request_duration_seconds_bucket") add(each.buckets, le === "+Inf" ? Infinity : Number(le), value);
  }
  return { time, models };
}

/** The quantile of a histogram's buckets, interpolated as Prometheus does; null without observations. */
export function quantile(buckets, part) {
  const bounds = [...buckets.keys()].sort((a, b) => a - b);
  const total = buckets.get(Infinity) ?? 0;
  if (total <= 0) return null;
  const rank = part * total;
  let [below, seen] = [0, 0];
  for (const bound of bounds) {
    const count = buckets.get(bound);
    if (count >= rank) {
      return bound === Infinity ? below : below + ((bound - below) * (rank - seen)) / (count - seen);
    }
    [below, seen] = [bound, count];
  }
  return below;
}

/** The figures of a model between two readings. */
export function between(first, last, name) {
  const a = first.models.get(name);
  const b = last.models.get(name);
  const seconds = (last.time - first.time) / 1000;
  const buckets = new Map();
  for (const [bound, count] of b.buckets) buckets.set(bound, count - (a?.buckets.get(bound) ?? 0));
  const batches = b.batches - (a?.batches ?? 0);
  return {
    rate: seconds > 0 ? (b.requests - (a?.requests ?? 0)) / seconds : 0,
    errors: seconds > 0 ? (b.errors - (a?.errors ?? 0)) / seconds : 0,
    p50: quantile(buckets, 0.5),
    p99: quantile(buckets, 0.99),
    batch: batches > 0 ? (b.rows - (a?.rows ?? 0)) / batches : null,
    depth: b.depth,
    flight: b.flight,
    requests: b.requests,
  };
}
