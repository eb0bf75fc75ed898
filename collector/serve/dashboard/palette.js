// How lines differ: eight colours that colour-blind people can tell apart, then four patterns of dashes.

export const COLOURS = 8;
export const DASHES = [[], [9, 4], [2, 3], [12, 3, 2, 3]];
export const STYLES = COLOURS * DASHES.length;
export const OTHER = { colour: "other", dash: [1, 4] };

/** The colour and the dashes of a style. */
export const styleOf = (place) => ({ colour: place % COLOURS, dash: DASHES[Math.floor(place / COLOURS) % DASHES.length] });

/**
 * Give every label of *drawn* a style. A label keeps that of its position in *all* if it is free; every colour is used
 * in whole lines before one is used in dashes.
 */
export function styles(all, drawn) {
  const position = new Map(all.map((label, i) => [label, i]));
  const taken = new Set();
  const places = new Map();
  for (const label of drawn) {
    let round = 0;
    let place = (position.get(label) ?? 0) % COLOURS;
    for (let i = 0; taken.has(round * COLOURS + place) && i < STYLES; i += 1) {
      place = (place + 1) % COLOURS;
      if ((i + 1) % COLOURS === 0) round = (round + 1) % DASHES.length;
    }
    taken.add(round * COLOURS + place);
    places.set(label, round * COLOURS + place);
  }
  return places;
}
