// Memory below the lanes, on the same time axis: the device's use filled, torch's share as a line,
// the device's size dashed; one row per GPU. Without a GPU the process's RSS, and why. Each place
// where jobs of the view ran (this kernel, real workers, a pod) has rows of its own.

const MEMORY_ROW_PX = { 1: 132, 2: 96, 3: 72, 4: 72 };
const MEMORY_ROW_MANY_PX = 48;
const SAMPLE_HOLE_S = 1.5; // the sampler rests when no job runs: no line across that

const NEAR_S = 0.3; // a short job may lie between two samples

/** Rows to draw: [{place, device, lines: [{line, role}], label, low, high, total, reason}]. */
function memoryRows(samples, names, reason, list) {
  const places = names.places.map((name, place) => ({ name, place })).filter(({ name }, at) => !at || names.targets.includes(name));
  const rows = places.flatMap(({ place }) => placeRows(samples, place, place ? "" : reason, list));
  const alone = rows.every((row) => !row.place);
  for (const row of rows) if (!alone) row.label += `, ${placeName(names.places[row.place])}`;
  return rows;
}

/** Whose memory it is, in words. */
function placeName(target) {
  return { local: "this kernel", process: "worker processes" }[target] ?? target;
}

function placeRows(samples, place, reason, list) {
  const gpus = samples.devices("vram", place);
  const torchOnly = gpus.length ? [] : samples.devices("torch_allocated", place);
  const rows = [];
  for (const device of gpus.length ? gpus : torchOnly) {
    const used = samples.line("vram", device, place);
    const torch = samples.line("torch_allocated", device, place);
    const held = samples.line("torch_reserved", device, place);
    const lines = [];
    if (used) lines.push({ line: used, role: "device", name: "device used" });
    if (held) lines.push({ line: held, role: "reserved", name: "torch reserved" });
    if (torch) lines.push({ line: torch, role: "torch", name: "torch allocated" });
    const total = used ? used.total : NaN;
    const high = Number.isFinite(total) ? total : niceMemory(largest(lines, list));
    rows.push({ place, device, lines, label: `GPU ${device}`, low: 0, high, total, reason: "" });
  }
  if (rows.length) return rows;
  const rss = samples.line("rss", -1, place);
  if (!rss || !rss.n) return [];
  const [least, most] = extremes(rss, list);
  if (most < least) return [];
  const span = Math.max(16, (most - least) * 1.25);
  const low = Math.max(0, Math.floor((most + least) / 2 - span / 2));
  const lines = [{ line: rss, role: "device", name: "RSS" }];
  return [{ place, device: -1, lines, label: "RSS", low, high: low + span, total: NaN, reason }];
}

/** Least and most of a line while a job of this view waited or ran: other handlers' jobs do not count. */
function extremes(line, list) {
  let least = Infinity;
  let most = -Infinity;
  let s = 0;
  for (let k = 0; k < line.n && s < list.length; k += 1) {
    while (s < list.length && line.time[k] > list[s].to + NEAR_S) s += 1;
    if (s === list.length || line.time[k] < list[s].from - NEAR_S) continue;
    if (line.used[k] < least) least = line.used[k];
    if (line.used[k] > most) most = line.used[k];
  }
  return [least, most];
}

function largest(lines, list) {
  return Math.max(1, ...lines.map((l) => extremes(l.line, list)[1]));
}

function niceMemory(mib) {
  let top = 256;
  while (top < mib * 1.05) top *= 2;
  return top * 0.75 > mib * 1.05 ? top * 0.75 : top;
}

/** Pixels for all rows: what they need, and more of what is free beside a tall job pane. */
function memoryHeight(rows, free = 0) {
  const each = MEMORY_ROW_PX[rows.length] ?? MEMORY_ROW_MANY_PX;
  return rows.length * Math.max(each, Math.min(2 * each, Math.floor(free / Math.max(1, rows.length))));
}

/** Draw one row between y0 and y1; the label row is above y0. */
function drawMemoryRow(g, row, axis, y0, y1, look) {
  const y = (mib) => y1 - ((mib - row.low) / (row.high - row.low)) * (y1 - y0);
  for (const { line, role } of row.lines) drawSamples(g, line, role, axis, y, y1, look, row.low === 0); // an area stands on zero
  if (Number.isFinite(row.total)) {
    g.strokeStyle = look.limit;
    g.lineWidth = 1;
    g.setLineDash([4, 3]);
    g.beginPath();
    g.moveTo(0, Math.round(y(row.total)) + 0.5);
    g.lineTo(axis.width, Math.round(y(row.total)) + 0.5);
    g.stroke();
    g.setLineDash([]);
  }
}

// points of the line being drawn: x, MiB; NaN parts two runs
let pointX = new Float32Array(2048);
let pointY = new Float32Array(2048);

/** Gather a line's points in view, the highest reading per column of pixels: a peak never disappears. */
function gatherPoints(line, axis) {
  const first = Math.max(0, upperBound(line.time, line.n, axis.time(-4)) - 1);
  const end = Math.min(line.n, upperBound(line.time, line.n, axis.time(axis.width + 4)) + 1);
  if (pointX.length < 2 * (end - first) + 2) {
    pointX = new Float32Array(4 * (end - first));
    pointY = new Float32Array(4 * (end - first));
  }
  let n = 0;
  let last = -Infinity; // x of the last point of this run
  let before = -Infinity;
  for (let k = first; k < end; k += 1) {
    const time = line.time[k];
    const x = axis.x(time);
    const used = line.used[k];
    if (time - before > SAMPLE_HOLE_S) {
      if (n) pointX[n++] = NaN;
      last = -Infinity;
    }
    before = time;
    if (x - last < 1) {
      if (used > pointY[n - 1]) pointY[n - 1] = used;
      continue;
    }
    pointX[n] = last = x;
    pointY[n] = used;
    n += 1;
  }
  return n;
}

function drawSamples(g, line, role, axis, y, base, look, fill) {
  const n = gatherPoints(line, axis);
  if (role === "device" && fill) {
    g.fillStyle = look.memoryFill;
    g.beginPath();
    for (let k = 0; k < n; k += 1) {
      if (Number.isNaN(pointX[k])) continue;
      if (k === 0 || Number.isNaN(pointX[k - 1])) g.moveTo(pointX[k], base);
      g.lineTo(pointX[k], y(pointY[k]));
      if (k === n - 1 || Number.isNaN(pointX[k + 1])) g.lineTo(pointX[k], base);
    }
    g.fill();
  }
  g.strokeStyle = role === "device" ? look.memory : look.torch;
  g.lineWidth = role === "device" ? 1.5 : 1.25;
  g.lineJoin = "round";
  if (role === "reserved") g.setLineDash([2, 2]);
  g.beginPath();
  for (let k = 0; k < n; k += 1) {
    if (Number.isNaN(pointX[k])) continue;
    if (k === 0 || Number.isNaN(pointX[k - 1])) {
      g.moveTo(pointX[k], y(pointY[k]));
      // a single reading is a point, not nothing
      if (k === n - 1 || Number.isNaN(pointX[k + 1])) g.lineTo(pointX[k] + 1.5, y(pointY[k]));
    } else g.lineTo(pointX[k], y(pointY[k]));
  }
  g.stroke();
  g.setLineDash([]);
}

/** Where a row is labelled: a device at nothing, half and all of it; otherwise at round numbers. */
function rowMarks(row, height) {
  if (Number.isFinite(row.total)) return height < 40 ? [0, row.total] : [0, row.total / 2, row.total];
  const marks = memoryMarks(row.low, row.high);
  return height < 60 ? [marks[0], marks[marks.length - 1]] : marks;
}

function markText(mib) {
  if (mib === 0) return "0";
  return mib >= 1024 && mib % 1024 === 0 ? `${mib / 1024} GiB` : memory(mib);
}

/** What the lines of a row are, from x on, in one line of text; their names in the first row only. */
function drawMemoryLegend(g, row, x, y, end, look, names) {
  g.textAlign = "left";
  g.fillStyle = look.text;
  g.fillText(row.label, x, y);
  let at = x + g.measureText(row.label).width + 12;
  if (names && row.device >= 0) {
    for (const { role, name } of row.lines) {
      g.strokeStyle = role === "device" ? look.memory : look.torch;
      g.lineWidth = 2;
      g.setLineDash(role === "reserved" ? [2, 2] : []);
      g.beginPath();
      g.moveTo(at, y - 4);
      g.lineTo(at + 12, y - 4);
      g.stroke();
      g.setLineDash([]);
      g.fillStyle = look.textSoft;
      g.fillText(name, at + 16, y);
      at += 16 + g.measureText(name).width + 12;
    }
  }
  if (row.reason) {
    const said = cutToFit(g, row.reason, end - at);
    g.fillStyle = look.surface; // the lines of edits and idle time go through here
    g.fillRect(x - 2, y - 11, at + g.measureText(said).width + 4 - x, 15);
    g.fillStyle = look.text;
    g.fillText(row.label, x, y);
    g.fillStyle = look.textSoft;
    g.fillText(said, at, y);
  }
}

function cutToFit(g, text, room) {
  if (g.measureText(text).width <= room) return text;
  let n = text.length;
  while (n > 1 && g.measureText(`${text.slice(0, n)}…`).width > room) n -= 1;
  return `${text.slice(0, n)}…`;
}
