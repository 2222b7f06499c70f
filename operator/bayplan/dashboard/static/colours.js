// Colours that people with colour blindness tell apart (Okabe and Ito, and shades of them).

const PALETTE = [
  '#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#b8a800', '#7b68b5',
  '#5f9ea0', '#a0522d', '#8fbc3f', '#c0507a', '#3f7f93', '#d9a066', '#6a8f3c', '#937fc0',
];
export const GREY = '#9aa0a6';

const known = new Map();

// A word has the same colour on every page and after each reload.
export function ofWord(word) {
  if (!word) return GREY;
  let colour = known.get(word);
  if (!colour) {
    let hash = 2166136261;
    for (let at = 0; at < word.length; at += 1) hash = Math.imul(hash ^ word.charCodeAt(at), 16777619);
    colour = PALETTE[(hash >>> 0) % PALETTE.length];
    known.set(word, colour);
  }
  return colour;
}

// From pale to strong, for amounts: viridis at eight places.
const STEPS = ['#fde725', '#a0da39', '#4ac16d', '#1fa187', '#277f8e', '#365c8d', '#46327e', '#440154'];
export const ofShare = (share) => STEPS[Math.min(STEPS.length - 1, Math.max(0, Math.floor(share * STEPS.length)))];
