// One payload: its media, its tree or its text, what can be done with it, and its size.

const BESIDE_ENTRIES = 10; // a longer tree, or one that opens wide, goes below its pictures

/**
 * @param what output, input or stream
 * @param size encoded bytes; null if they are told elsewhere
 */
function payloadElement(board, what, tree, size) {
  const source = { board, what };
  const whole = make("div", "kit-payload-and-size");
  const holder = make("div", "kit-payload");
  const media = mediaIn(tree);
  if (isContainer(tree) && (tree.n > BESIDE_ENTRIES || tree.v.some((child) => isContainer(child) && child.n > OPEN_ENTRIES))) holder.classList.add("kit-stacked");
  if (media.length) holder.append(galleryElement(source, media, size ?? 0));
  const aloneAndShown = media.length === 1 && tree === media[0].node;
  const shown = new Tree(tree, (at, start, done) => askMore(source, at, start, done), source);
  if (!aloneAndShown) holder.append(shown.element);
  whole.append(payloadTools(source, shown, holder, size), holder, shown.actions.element);
  if (size !== null) whole.append(sizeBar(size, PAYLOAD_LIMITS));
  return whole;
}

async function askMore(source, at, start, done) {
  const part = await ask(source.board, { t: "more", what: source.what, at, start });
  done(part?.tree ?? null);
}

/** Find, raw text, download: words at the top right, until one is used. */
function payloadTools(source, tree, holder, size) {
  const { board, what } = source;
  const line = make("div", "kit-payload-tools");
  const finder = new Finder(tree, () => showRaw(false));
  let raw = null;
  const showRaw = (on) => {
    if (on && !raw) {
      raw = new RawView(source, []);
      holder.after(raw.element);
    }
    if (raw) raw.element.hidden = !on;
    holder.hidden = on;
    rawButton.setAttribute("aria-pressed", String(on));
    say(rawButton, on ? "Tree" : "Raw");
  };
  const find = button("kit-text-button", "Find", () => (finder.element.hidden ? finder.open() : finder.close()));
  const rawButton = button("kit-text-button", "Raw", () => showRaw(raw === null || raw.element.hidden));
  const name = `${what}.json`;
  const save = button("kit-text-button", `Download ${name}`, async () => {
    save.disabled = true;
    const parts = [];
    const take = (some, end, n) => {
      parts.push(some);
      if (n > SLICE_CHARS) say(save, `${Math.round((end / n) * 100)} % of ${bytes(size ?? n)}`);
    };
    const why = await fetchText(board, { what, at: [] }, 0, Infinity, take, true);
    save.disabled = false;
    if (!why) saveFile(name, parts);
    sayDone(save, why || "Downloaded", `Download ${name}`);
  });
  const words = make("span", "kit-payload-words");
  words.append(find, rawButton, save);
  line.append(finder.element, words);
  return line;
}

/** Encoded size against RunPod's limits: [[bytes, name], ...], the least first. */
function sizeBar(size, limits, what = "") {
  const row = make("div", "kit-size");
  const most = limits.at(-1)[0];
  const passed = limits.filter(([limit]) => size > limit).at(-1);
  const bar = make("div", "kit-bar");
  const fill = make("div", passed ? "kit-bar-fill kit-over-limit" : "kit-bar-fill");
  fill.style.width = `${Math.max(size > 0 ? 0.5 : 0, Math.min(100, (size / most) * 100))}%`;
  bar.append(fill);
  for (const [limit] of limits.slice(0, -1)) {
    const mark = make("div", "kit-bar-mark");
    mark.style.left = `${(limit / most) * 100}%`;
    bar.append(mark);
  }
  const words = limits.map(([limit, name]) => `${bytes(limit)} ${name}`).join(", ");
  row.append(make("span", "", `${what ? `${what} ` : ""}${bytes(size)}`), bar, make("span", "kit-soft", `of ${words}`));
  if (passed) row.append(make("span", "kit-over", `over the limit of ${passed[1]}`));
  return row;
}
