// Colours: surfaces, text and lines are the front end's own, states are ours in two sets. The card
// decides by the lightness of what is behind it, so it is right in any theme of any front end.

const ROLES = {
  text: "--kit-text", textSoft: "--kit-text-soft", surface: "--kit-surface", band: "--kit-band",
  line: "--kit-grid", wait: "--kit-wait", memory: "--kit-memory", torch: "--kit-torch",
  finding: "--kit-finding", failed: "--kit-failed", completed: "--kit-completed", running: "--kit-running",
  cancelled: "--kit-cancelled", lost: "--kit-lost", span: "--kit-span", memoryFill: "--kit-memory-fill",
  limit: "--kit-limit", fold: "--kit-fold", faint: "--kit-faint", onBar: "--kit-on-bar",
  onBarSoft: "--kit-on-bar-soft",
};

/** Lightness 0..1 of a CSS colour as the browser computed it ("rgb(…)" or "color(srgb …)"). */
function lightness(colour) {
  const numbers = (colour.match(/[\d.]+/g) ?? []).map(Number);
  const scale = colour.startsWith("color(") ? 1 : 255;
  const [r, g, b] = numbers.slice(0, 3).map((n) => {
    const c = n / scale;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Colours as the browser computes them: all probes at once, so that it computes styles once. */
function coloursOf(root, variables) {
  const probes = variables.map((variable) => {
    const probe = make("span", "kit-probe");
    probe.style.color = `var(${variable})`;
    return probe;
  });
  root.append(...probes);
  const colours = probes.map((probe) => getComputedStyle(probe).color);
  for (const probe of probes) probe.remove();
  return colours;
}

/** Read the palette from the card's own CSS; sets data-kit-theme on the way. */
function readLook(root) {
  root.dataset.kitTheme = lightness(coloursOf(root, ["--kit-surface"])[0]) < 0.3 ? "dark" : "light";
  const roles = Object.keys(ROLES);
  const read = coloursOf(root, Object.values(ROLES));
  const look = Object.fromEntries(roles.map((role, k) => [role, read[k]]));
  look.state = [look.wait, look.running, look.completed, look.failed, look.cancelled, look.failed, look.lost];
  look.font = getComputedStyle(root).fontFamily;
  let pattern = null;
  look.lostPattern = (g) => {
    pattern ??= g.createPattern(stripes(look.lost, 2), "repeat");
    return pattern;
  };
  let hatch = null;
  look.spanPattern = (g) => {
    hatch ??= g.createPattern(stripes(look.span, 1), "repeat");
    return hatch;
  };
  return look;
}

function stripes(colour, width) {
  const tile = document.createElement("canvas");
  tile.width = 6;
  tile.height = 6;
  const g = tile.getContext("2d");
  g.strokeStyle = colour;
  g.lineWidth = width;
  g.beginPath();
  for (const k of [-6, 0, 6]) {
    g.moveTo(k - 1, 7);
    g.lineTo(k + 7, -1);
  }
  g.stroke();
  return tile;
}

/** Call back when the front end's theme changes; returns the way to stop. */
function onThemeChange(callback) {
  const observer = new MutationObserver(callback);
  const what = { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-light", "data-jp-theme-name", "data-vscode-theme-kind"] };
  observer.observe(document.body, what);
  observer.observe(document.documentElement, what);
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", callback);
  };
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
