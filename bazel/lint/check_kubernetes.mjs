// Checks the Kubernetes manifests that are its arguments against the types of the Kubernetes API: a field that is unknown or
// misspelt, one that is missing, a value of another type. What a kustomization patches with may leave out what is patched.
//
//     node bazel/lint/check_kubernetes.mjs deploy/kubernetes/{*,overlays/*}/*.yaml
import fs from "node:fs";
import path from "node:path";
import {fileURLToPath} from "node:url";
import ts from "typescript";
import YAML from "yaml";

const OPERATOR = "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor";
const KUSTOMIZATION = `{
  resources?: string[];
  patches?: {path: string; target?: {kind: string; name: string}}[];
  images?: {name: string; newName?: string; newTag?: string}[];
  namespace?: string;
}`;
const JSON_PATCH = `{op: "add" | "replace" | "remove"; path: string; value?: unknown}[]`;
// A strategic merge patch.
const PART = "type Part<T> = T extends (infer U)[] ? Part<U>[] : T extends object ? {[K in keyof T]?: Part<T[K]>} & {$patch?: \"replace\" | \"delete\"} : T;";

// The type of a document, as TypeScript has it.
function typeOf(document, file) {
  if (path.basename(file) === "kustomization.yaml") return KUSTOMIZATION;
  if (Array.isArray(document)) return JSON_PATCH;
  const {apiVersion, kind} = document;
  if (typeof apiVersion !== "string" || typeof kind !== "string") throw new Error(`${file}: no apiVersion and kind`);
  if (apiVersion === "monitoring.coreos.com/v1") return `import("${OPERATOR}").I${kind}`;
  const group = apiVersion.includes("/") ? apiVersion.replace(".k8s.io/", "/") : "core/" + apiVersion;
  return `import("kubernetes-types/${group}").${kind}`;
}

const all = process.argv.slice(2);
const read = (file) => YAML.parseAllDocuments(fs.readFileSync(file, "utf8")).map((document) => document.toJS());
const patches = new Set(all.filter((file) => path.basename(file) === "kustomization.yaml").flatMap((file) =>
    (read(file)[0].patches ?? []).map((patch) => path.normalize(path.join(path.dirname(file), patch.path)))));

// A constant of its type for each document; TypeScript finds unknown fields in literals only.
const here = path.dirname(fileURLToPath(import.meta.url));
const sources = new Map();
for (const file of all) {
  read(file).forEach((document, number) => {
    const type = typeOf(document, file);
    const wanted = patches.has(path.normalize(file)) && !Array.isArray(document) ? `Part<${type}>` : type;
    sources.set(path.join(here, `${file.replaceAll("/", "_")}.${number}.ts`),
                {file, text: `${PART}\nexport const manifest: ${wanted} = ${JSON.stringify(document, null, 2)};\n`});
  });
}
const options = {strict: true, noEmit: true, skipLibCheck: true, types: [], target: ts.ScriptTarget.ES2022,
                 module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler};
const host = ts.createCompilerHost(options);
const {fileExists, readFile, getSourceFile} = host;
host.fileExists = (name) => sources.has(name) || fileExists(name);
host.readFile = (name) => sources.get(name)?.text ?? readFile(name);
host.getSourceFile = (name, ...rest) =>
    sources.has(name) ? ts.createSourceFile(name, sources.get(name).text, ...rest) : getSourceFile(name, ...rest);

const wrong = ts.getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options, host));
for (const {file, start, messageText} of wrong) {
  const text = ts.flattenDiagnosticMessageText(messageText, "\n  ");
  const {line} = file ? file.getLineAndCharacterOfPosition(start) : {line: 0};
  const where = file && sources.has(file.fileName)
      ? `${sources.get(file.fileName).file}: ${file.text.split("\n")[line].trim()}` : file?.fileName ?? "";
  console.log(`${where}\n  ${text}`);
}
process.exit(wrong.length === 0 ? 0 : 1);
