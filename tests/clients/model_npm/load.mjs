// SPDX-License-Identifier: Apache-2.0
// load.mjs CASE FOLDER: one load by unmodified npm packages of a made model, as a user's program does
// it; run by ../test_npm.py. Prints {"client", "version", "call", "output"} as JSON.
//
// HUBVFS_MODEL_NPM is the folder that the packages were installed in.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const FOLDER = process.env.HUBVFS_MODEL_NPM;
const require = createRequire(join(FOLDER, "package.json"));
const SENTENCES = ["A model file is read a block at a time.", "Ein Dateisystem für Modelle.", "🤗"];

const packageFile = (name) => join(FOLDER, "node_modules", name, "package.json");
const version = (name) => JSON.parse(readFileSync(packageFile(name))).version;

async function transformers(folder) {
  const { env, pipeline } = require("@huggingface/transformers");
  env.allowRemoteModels = false;
  env.localModelPath = join(folder, "../..");
  const id = relative(env.localModelPath, folder);
  const extract = await pipeline("feature-extraction", id, { dtype: "fp32", device: "cpu" });
  const answer = await extract(SENTENCES, { pooling: "mean", normalize: true });
  const bytes = Buffer.from(answer.data.buffer, answer.data.byteOffset, answer.data.byteLength);
  const output = [createHash("sha256").update(bytes).digest("hex"), answer.dims,
                  Array.from(answer.data.slice(0, 3))];
  return ["@huggingface/transformers", 'pipeline("feature-extraction", ID), localModelPath=MOUNT',
          output];
}

async function model(folder, options) {
  // Only an ES module: by its place, since `require` above cannot load it on every node.
  const { getLlama } = await import(
    pathToFileURL(join(FOLDER, "node_modules/node-llama-cpp/dist/index.js")).href);
  const llama = await getLlama({ gpu: false, build: "never", progressLogs: false, maxThreads: 1 });
  return llama.loadModel({ modelPath: join(folder, "tiny-llama.gguf"), useMmap: true, ...options });
}

async function llama(folder) {
  const loaded = await model(folder, {});
  const context = await loaded.createContext({ contextSize: 128, threads: 1 });
  const generated = [];
  const tokens = loaded.tokenize("the model is read");
  for await (const token of context.getSequence().evaluate(tokens, { temperature: 0 })) {
    generated.push(token);
    if (generated.length === 24) break;
  }
  return ["node-llama-cpp", "loadModel(GGUF), mmap, 24 tokens generated", [tokens, generated]];
}

async function llama_vocabulary(folder) {
  const loaded = await model(folder, { vocabOnly: true });
  return ["node-llama-cpp", "loadModel(GGUF), mmap, vocabOnly: tokenize",
          SENTENCES.map((sentence) => loaded.tokenize(sentence))];
}

const CASES = { transformers, llama, llama_vocabulary };
const [, , name, folder] = process.argv;
const [client, call, output] = await CASES[name](folder);
process.stdout.write(`${JSON.stringify({ client, version: version(client), call, output })}\n`);
process.exit(0);
