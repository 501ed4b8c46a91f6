// Numbers as a person reads them, always with their unit; and the steps of an axis.

function trim(value, digits) {
  return value.toFixed(digits);
}

/** A duration in milliseconds: "0.42 ms", "12 ms", "2.21 s", "3 min 5 s", "2 h 4 min". */
function duration(ms) {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 0.995) return `${trim(Math.max(0, ms), 2)} ms`;
  if (ms < 9.95) return `${trim(ms, 1)} ms`;
  if (ms < 999.5) return `${trim(ms, 0)} ms`;
  if (ms < 9995) return `${trim(ms / 1000, 2)} s`;
  if (ms < 59950) return `${trim(ms / 1000, 1)} s`;
  const s = Math.round(ms / 1000);
  const two = (large, name, small, unit) => {
    const rest = Math.floor((s % large) / small);
    return `${Math.floor(s / large)} ${name}${rest ? ` ${rest} ${unit}` : ""}`;
  };
  if (s < 3600) return two(60, "min", 1, "s");
  return s < 86400 ? two(3600, "h", 60, "min") : two(86400, "d", 3600, "h");
}

/** A duration in one unit, for narrow places: "4 s", "12 min", "3 h", "2 d". */
function shortDuration(s) {
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 86400) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

/** Memory given in MiB: "412 MiB", "19.8 GiB". */
function memory(mib) {
  if (!Number.isFinite(mib)) return "–";
  if (mib < 9.95) return `${trim(mib, 1)} MiB`;
  if (mib < 1000) return `${trim(mib, 0)} MiB`;
  if (mib < 102400) return `${trim(mib / 1024, 1)} GiB`;
  return `${trim(mib / 1024, 0)} GiB`;
}

/** Sizes of payloads in bytes, decimal as RunPod's limits are: "402 kB", "1.2 MB". */
function bytes(n) {
  if (n < 1000) return `${n} B`;
  if (n < 999500) return `${trim(n / 1000, n < 9950 ? 1 : 0)} kB`;
  if (n < 999.5e6) return `${trim(n / 1e6, n < 9.95e6 ? 1 : 0)} MB`;
  return `${trim(n / 1e9, 1)} GB`;
}

function count(n) {
  return n.toLocaleString("en-US");
}

function plural(n, word) {
  return `${count(n)} ${word}${n === 1 ? "" : "s"}`;
}

/** Wall clock of a UTC second in the reader's time zone; the date too if it is not today. */
function clock(seconds, today = new Date()) {
  const date = new Date(seconds * 1000);
  const two = (n) => String(n).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (date.toDateString() === today.toDateString()) return time;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/** The smallest "round" number (1, 2, 5 times a power of ten) that is at least x. */
function niceCeil(x) {
  if (!(x > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(x));
  for (const m of [1, 2, 5, 10]) if (m * power >= x * (1 - 1e-9)) return m * power;
  return 10 * power;
}

const CLOCK_STEPS = [60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400];

/** Step of a time axis in seconds: at least `least` apart, round in decimal or on the clock. */
function timeStep(least) {
  if (least <= 30) return niceCeil(least);
  return CLOCK_STEPS.find((step) => step >= least) ?? niceCeil(least / 86400) * 86400;
}

/** Label of a time on the axis, as precise as its step asks for. */
function tickLabel(s, step) {
  if (Math.abs(s) < step / 1e6) return "0";
  if (step >= 60) return shortClock(s);
  if (step >= 1) return `${Math.round(s)} s`;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  if (step >= 0.1) return `${s.toFixed(digits)} s`;
  if (step >= 0.001) return s >= 10 ? `${s.toFixed(digits)} s` : `${Math.round(s * 1000)} ms`;
  return `${(s * 1000).toFixed(Math.max(0, digits - 3))} ms`;
}

function shortClock(s) {
  const min = Math.round(s / 60);
  return min < 60 ? `${min} min` : `${Math.floor(min / 60)} h${min % 60 ? ` ${min % 60}` : ""}`;
}

/** Round marks for a memory axis from 0 or a floor to a top, in MiB: at most four steps. */
function memoryMarks(low, high) {
  const span = Math.max(high - low, 1e-6);
  let step = 1;
  // binary steps up to a GiB, then 1, 2, 5, 10...
  while (span / step > 4.001 && step < 1024) step *= 2;
  if (span / step > 4.001) step = 1024 * niceCeil(span / 4 / 1024);
  if (span < 4) step = niceCeil(span / 4);
  const marks = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-6; v += step) marks.push(v);
  return marks;
}
