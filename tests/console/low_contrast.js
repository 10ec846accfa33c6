// Finds visible texts whose contrast with their background is below 4.5 to 1.
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
const paint = (over, color) => {
  canvas.fillStyle = `rgb(${over.join(' ')})`; canvas.fillRect(0, 0, 1, 1);
  canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const light = (rgb) => {
  const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (node) => {
  const layers = [];
  for (let e = node; e; e = e.parentElement) layers.unshift(getComputedStyle(e).backgroundColor);
  return layers.reduce(paint, [255, 255, 255]);
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const node = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest('.visually-hidden,.skip,noscript,option,:disabled')) continue;
  const back = behind(node);
  const text = paint(back, getComputedStyle(node).color);
  const [a, b] = [light(back), light(text)].sort((x, y) => y - x);
  const contrast = (a + 0.05) / (b + 0.05);
  if (contrast < 4.5) found.push(`${walker.currentNode.data.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
}
return found;
