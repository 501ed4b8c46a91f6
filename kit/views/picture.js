// What stands around lanes and memory: names of rows, grid, folded idle time, edits, memory's marks.
// Each function draws one thing; `at` is the layout that Timeline.measure made.

const GUTTER_PX = 64;
const AXIS_PX = 28;
const EDIT_ROW_PX = 18;
const MEMORY_LABEL_PX = 22;
const FOOT_PX = 8;

function drawGutter(g, at, names, look) {
  g.fillStyle = look.textSoft;
  g.textAlign = "right";
  for (let k = 0; k < at.shown; k += 1) {
    const lane = at.lanes[k + at.offset];
    const name = at.sessions ? `${names.sessions[lane.session].slice(0, 5)} · ${lane.slot + 1}` : `slot ${lane.slot + 1}`;
    g.fillText(name, GUTTER_PX - 10, at.lanesTop + k * at.lanePx + BAR_TOP + 12);
  }
  if (at.lanesTop > AXIS_PX) g.fillText("setup", GUTTER_PX - 10, AXIS_PX + 15);
  if (at.queueEnd > at.lanesEnd) g.fillText("queue", GUTTER_PX - 10, at.lanesEnd + 12);
}

function drawGrid(g, at, marks, look) {
  const bottom = at.height - FOOT_PX;
  g.fillStyle = look.line;
  // rectangles, not strokes: they are cheaper, and never blurred
  for (const mark of marks) if (mark.grid) g.fillRect(Math.round(mark.x), AXIS_PX - 4, 1, bottom - AXIS_PX + 4);
  for (let k = 1; k <= at.shown; k += 1) g.fillRect(0, at.lanesTop + k * at.lanePx - 1, at.width, 1);
  for (const mark of marks) {
    if (!mark.label) continue;
    g.fillStyle = mark.strong ? look.text : look.textSoft;
    const start = mark.strong || mark.x < 12;
    g.textAlign = start ? "left" : "center";
    g.fillText(mark.label, start ? Math.max(0, mark.x) : mark.x, AXIS_PX - 12);
  }
}

/** Where idle time is folded: a band without a grid, and how long it was. */
function drawFolds(g, at, axis, look) {
  const list = axis.list;
  const third = axis.breakPx / 3;
  const bottom = at.height - FOOT_PX;
  for (const { k, x1 } of axis.visible()) {
    const next = list[k + 1];
    if (!next) break;
    g.fillStyle = look.fold;
    g.fillRect(x1 + third, AXIS_PX - 4, Math.max(2, third), bottom - AXIS_PX + 4);
    if (third < 11) continue;
    // along the band: beside the marks of the axis it would read like one of them
    g.save();
    g.translate(x1 + axis.breakPx / 2 + 4, bottom - 8);
    g.rotate(-Math.PI / 2);
    g.textAlign = "left";
    g.fillStyle = look.textSoft;
    g.fillText(`${shortDuration(next.from - list[k].to)} idle`, 0, 0);
    g.restore();
  }
}

/** A dotted line for each edit of a handler, with its versions below the lanes. */
function drawEdits(g, at, axis, edits, named, look) {
  g.textAlign = "left";
  let free = -Infinity;
  for (const edit of edits) {
    const x = axis.x(edit.time);
    if (x < -60 || x > at.width + 4) continue;
    g.strokeStyle = look.textSoft;
    g.lineWidth = 1.25;
    g.setLineDash([1.5, 3]);
    g.beginPath();
    g.moveTo(Math.round(x) + 0.5, AXIS_PX - 4);
    g.lineTo(Math.round(x) + 0.5, at.height - FOOT_PX);
    g.stroke();
    g.setLineDash([]);
    const text = `${named ? `${edit.handler} ` : ""}v${edit.version - 1} to v${edit.version}`;
    const wide = g.measureText(text).width;
    const from = x + 5 + wide > at.width ? x - 5 - wide : x + 5;
    if (from < free) continue;
    g.fillStyle = look.textSoft;
    g.fillText(text, from, at.queueEnd + 13);
    free = from + wide + 8;
  }
}

/** Call for each memory row: visit(row, top, bottom, whether it is the first). */
function eachMemoryRow(at, visit) {
  const each = at.memoryPx / Math.max(1, at.rows.length);
  at.rows.forEach((row, k) => {
    const top = at.memoryTop + k * (each + 4);
    visit(row, top + MEMORY_LABEL_PX, top + each, k === 0);
  });
}

function drawMemoryLabels(g, at, end, look) {
  eachMemoryRow(at, (row, y0, y1, first) => {
    g.textAlign = "right";
    g.fillStyle = look.textSoft;
    let above = Infinity;
    for (const mib of rowMarks(row, y1 - y0)) {
      const y = y1 - ((mib - row.low) / (row.high - row.low)) * (y1 - y0);
      if (above - y < 14) continue;
      g.fillText(markText(mib), GUTTER_PX - 10, Math.min(y + 4, y1 + 3));
      above = y;
    }
    drawMemoryLegend(g, row, GUTTER_PX + 4, y0 - 8, end, look, first);
  });
}

/** The line under the pointer, and a dot on each memory line where it crosses. */
function drawCursor(g, at, axis, x, look) {
  g.fillStyle = look.textSoft;
  g.fillRect(Math.round(x), AXIS_PX - 4, 1, at.height - FOOT_PX - AXIS_PX + 4);
  const time = axis.time(x);
  eachMemoryRow(at, (row, y0, y1) => {
    for (const { line, role } of row.lines) {
      const used = usedAt(line, time);
      if (!Number.isFinite(used)) continue;
      g.fillStyle = role === "device" ? look.memory : look.torch;
      g.beginPath();
      g.arc(x, y1 - ((used - row.low) / (row.high - row.low)) * (y1 - y0), 3, 0, 7);
      g.fill();
    }
  });
}
