// Reads one JSON array of base64 documents from standard input and writes one
// JSON array: for each document what JSON.stringify(JSON.parse(document))
// prints, in base64, or null where JSON.parse refuses it. Bytes that are no
// UTF-8 become U+FFFD, so that it is known whether the rest is JSON.
'use strict';

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function canonical(document) {
  const text = decoder.decode(Buffer.from(document, 'base64'));
  try {
    return Buffer.from(JSON.stringify(JSON.parse(text)), 'utf8').toString('base64');
  } catch {
    return null;
  }
}

const documents = JSON.parse(require('fs').readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(documents.map(canonical)));
