// SPDX-License-Identifier: Apache-2.0
// calls.mjs NAME JSON: one call of unmodified @huggingface/hub with these parameters, its result as
// the last line, in JSON: {"value": ...}, or {"error": NAME, "status": N, "message": "..."}.
//
// HUBVFS_NPM_CLIENT is the folder that the client was installed in.

import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import process from "node:process";

const require = createRequire(join(process.env.HUBVFS_NPM_CLIENT, "package.json"));
const hub = require("@huggingface/hub");

const digest = (data) => createHash("sha256").update(data).digest("hex");

async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}

const names = async (items) => (await all(items)).map((item) => item.name).sort();

const entry = (e) =>
  [e.path, e.type, e.size, e.oid, e.lfs?.oid ?? null, e.lastCommit?.id ?? null];

// By path from `folder`; symlinks are followed.
async function digestsBelow(folder) {
  const found = {};
  const walk = async (directory) => {
    for (const item of await readdir(directory, { withFileTypes: true })) {
      const path = join(directory, item.name);
      if (item.isDirectory()) await walk(path);
      else found[relative(folder, path)] = digest(await readFile(path));
    }
  };
  await walk(folder);
  return found;
}

const calls = {
  version: async () => require("@huggingface/hub/package.json").version,
  listFiles: async (p) => (await all(hub.listFiles(p))).map(entry).sort(),
  pathsInfo: async (p) => (await hub.pathsInfo(p)).map(entry).sort(),
  fileDownloadInfo: async (p) => {
    const info = await hub.fileDownloadInfo(p);
    return info && [info.size, info.etag];
  },
  downloadFile: async (p) => {
    const blob = await hub.downloadFile(p);
    return blob && [blob.size, digest(Buffer.from(await blob.arrayBuffer()))];
  },
  // The digest of each [begin, end] of the file.
  "downloadFile slice": async ({ slices, ...p }) => {
    const blob = await hub.downloadFile(p);
    return Promise.all(
      slices.map(async ([begin, end]) =>
        digest(Buffer.from(await blob.slice(begin, end).arrayBuffer()))),
    );
  },
  fileExists: (p) => hub.fileExists(p),
  repoExists: (p) => hub.repoExists(p),
  checkRepoAccess: async (p) => (await hub.checkRepoAccess(p)) ?? "may",
  modelInfo: async (p) => {
    const info = await hub.modelInfo({ ...p, additionalFields: ["sha", "author", "filePaths"] });
    const { sha, author, gated, filePaths } = info;
    return { id: info.name, sha, private: info.private, gated, author, filePaths };
  },
  datasetInfo: async (p) => (await hub.datasetInfo({ ...p, additionalFields: ["sha"] })).sha,
  spaceInfo: async (p) => (await hub.spaceInfo({ ...p, additionalFields: ["sha"] })).sha,
  listModels: (p) => names(hub.listModels(p)),
  listDatasets: (p) => names(hub.listDatasets(p)),
  listSpaces: (p) => names(hub.listSpaces(p)),
  listCommits: async (p) => (await all(hub.listCommits(p))).map((commit) => commit.oid),
  whoAmI: async (p) => {
    const user = await hub.whoAmI(p);
    return [user.type, user.name, user.orgs, user.auth.accessToken.role];
  },
  // By where it lies in the cache, what is in it.
  snapshotDownload: async (p) => {
    const folder = await hub.snapshotDownload(p);
    return { [relative(p.cacheDir, folder)]: await digestsBelow(folder) };
  },
};

const [name, parameters] = process.argv.slice(2);
let answer;
try {
  answer = { value: await calls[name](JSON.parse(parameters)) };
} catch (error) {
  answer = { error: error.constructor.name, status: error.statusCode ?? null,
             message: error.data?.message ?? error.data?.error ?? error.message };
}
console.log(JSON.stringify(answer));
