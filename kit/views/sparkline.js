// Numbers as a line: its shape is the browser's own clipping of a coloured box, so it follows the theme.

const LINE_HEIGHT = 20; // pixels
const HALF_STROKE = 0.75 / LINE_HEIGHT;

/** The outline of a line as points of a polygon, 0..1 from the left and the top. */
function linePolygon(points, low, high) {
  const span = high - low || 1;
  const y = (value) => 1 - (0.08 + 0.84 * (high === low ? 0.5 : (value - low) / span));
  const above = [];
  const below = [];
  points.forEach((point, k) => {
    if (point === null) return;
    const [least, most] = Array.isArray(point) ? point : [point, point];
    const x = points.length > 1 ? k / (points.length - 1) : 0.5;
    above.push([x, y(most) - HALF_STROKE]);
    below.push([x, y(least) + HALF_STROKE]);
  });
  if (above.length === 1) return [[0, above[0][1]], [1, above[0][1]], [1, below[0][1]], [0, below[0][1]]];
  return [...above, ...below.reverse()];
}

/** "0.0123", "1,536", "-1.2e-9": at most three digits that count. */
function shortNumber(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return count(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e9) ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

/** An array of numbers in one line: shape, lowest, highest, mean. */
function sparkline(line) {
  const holder = make("span", "kit-spark");
  const shape = make("span", "kit-spark-line");
  shape.style.clipPath = `polygon(${linePolygon(line.points, line.low, line.high).map(([x, y]) => `${(x * 100).toFixed(2)}% ${(y * 100).toFixed(1)}%`).join(",")})`;
  const odd = line.odd ? `  ${count(line.odd)} not finite` : "";
  const text = `min ${shortNumber(line.low)}  max ${shortNumber(line.high)}  mean ${shortNumber(line.mean)}${odd}`;
  holder.append(shape, make("span", "kit-soft", text));
  return holder;
}
