// SPDX-License-Identifier: Apache-2.0
// A hub that speaks HTTP/2 over TLS and has one file.
// usage: node h2_server.mjs KEY CERT FILE ETAG COMMIT TOGETHER
//
// Prints its port; then, for each request, its HTTP version and the number of its connection. The
// first is answered at once, the others when TOGETHER of them are under way: side by side.
import fs from 'node:fs';
import http2 from 'node:http2';

const [key, cert, file, etag, commit, together] = process.argv.slice(2);
const content = fs.readFileSync(file);
const server = http2.createSecureServer(
    {key: fs.readFileSync(key), cert: fs.readFileSync(cert), allowHTTP1: true});
const sessions = new Map();
let asked = 0;
let waiting = [];

function answer(request, response) {
  const [, begin, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range).map(Number);
  response.writeHead(206, {
    'content-range': `bytes ${begin}-${end}/${content.length}`,
    'content-length': end + 1 - begin,
    etag: `"${etag}"`,
    'x-repo-commit': commit,
  });
  response.end(content.subarray(begin, end + 1));
}

server.on('request', (request, response) => {
  const session = request.stream ? request.stream.session : request.socket;
  if (!sessions.has(session)) sessions.set(session, sessions.size + 1);
  console.log(`${request.httpVersion} ${sessions.get(session)}`);
  if (asked++ === 0) return answer(request, response);
  waiting.push(() => answer(request, response));
  if (waiting.length < Number(together)) return;
  for (const go of waiting) go();
  waiting = [];
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
