// Token ids as llama.cpp makes them, for make.py.
//   node tokenize.mjs NODE_LLAMA_CPP_PACKAGE MODEL.gguf < requests.json > ids.json
// requests: [{"text": "...", "special": false}]; answer: {"llama_cpp": "...", "ids": [[...]]}, no BOS added.
import {readFileSync} from "node:fs";
import {join} from "node:path";
import {pathToFileURL} from "node:url";

const [packageFolder, modelPath] = process.argv.slice(2);
const {getLlama} = await import(pathToFileURL(join(packageFolder, "dist/index.js")));
const manifest = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8"));
const llama = await getLlama({build: "never", gpu: false, logLevel: "error"});
const model = await llama.loadModel({modelPath, vocabOnly: true});
const requests = JSON.parse(readFileSync(0, "utf8"));
const ids = requests.map(({text, special}) => model.tokenize(text, special));
process.stdout.write(JSON.stringify({
    llama_cpp: `${llama.llamaCppRelease.release} (node-llama-cpp ${manifest.version})`,
    ids
}));
process.exit(0);
