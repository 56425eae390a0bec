"use strict";
// Gives the program the files that were chosen, piece by piece, and runs it. A worker may read files
// while the program waits, and the page stays alive meanwhile.
onmessage = async ({ data: { wasm, files, sample, bodies } }) => {
  const reader = new FileReaderSync();
  const folders = new Map();
  for (const name of files.keys()) {
    const cut = name.lastIndexOf("/") + 1;
    const folder = name.slice(0, Math.max(0, cut - 1));
    if (!folders.has(folder)) folders.set(folder, []);
    folders.get(folder).push(name.slice(cut));
  }
  let memory;
  const text = (at, length) => new TextDecoder().decode(new Uint8Array(memory.buffer, at, length));
  const page = {
    length: (at, bytes) => files.get(text(at, bytes))?.size ?? -1,
    read: (at, bytes, start, length, into) => {
      try {
        const piece = files.get(text(at, bytes)).slice(start, start + length);
        const data = new Uint8Array(reader.readAsArrayBuffer(piece));
        if (data.length !== length) return 1;
        new Uint8Array(memory.buffer, into, length).set(data);
        return 0;
      } catch {
        return 1;
      }
    },
    name: (at, bytes, index, room, into) => {
      const names = folders.get(text(at, bytes)) ?? [];
      if (index >= names.length) return -1;
      const data = new TextEncoder().encode(names[index]);
      if (data.length > room) return 0;
      new Uint8Array(memory.buffer, into, data.length).set(data);
      return data.length;
    },
    tell: (at, length) => postMessage({ at: text(at, length) }),
  };
  try {
    const { instance } = await WebAssembly.instantiate(wasm, { page });
    memory = instance.exports.memory;
    const seed = crypto.getRandomValues(new BigUint64Array(1))[0];
    const code = instance.exports.audit(sample, bodies ? 1 : 0, BigInt.asIntN(64, seed));
    const of = (which) => text(instance.exports.text_at(which), instance.exports.text_length(which));
    postMessage({ code, page: of(0), json: of(1) });
  } catch (error) {
    postMessage({ failed: String(error) });
  }
};
