// Import rules: folders point one way, packages stay in few folders, no cycles; type imports count.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * What each part of src/ may import, besides itself and generated code. A part is a folder or, where a folder has
 * wings with rules of their own, `folder/wing`; the entry of a wing counts before that of its folder.
 */
const allowed = {
  errors: [],
  'file-lock': [],
  'turn-queue': [],
  jwe: ['errors'],
  keys: ['errors', 'file-lock', 'jwe'],
  schema: ['errors', 'jwe', 'keys'],
  client: ['errors', 'turn-queue', 'jwe', 'keys', 'schema'],
  server: ['errors', 'turn-queue', 'jwe', 'keys', 'schema'],
  'audit/format': ['errors', 'jwe/header'],
  // The line reader is the one thing that both read and write need.
  'audit/write': ['errors', 'file-lock', 'jwe/header', 'audit/format', 'audit/read/line-blocks'],
  'audit/read': ['errors', 'jwe/header', 'audit/format'],
  'audit/index': ['audit/format', 'audit/write', 'audit/read'],
  codegen: ['schema', 'errors'],
  host: ['errors', 'jwe', 'keys', 'schema', 'client', 'server', 'audit'],
  payments: ['errors', 'schema', 'server', 'host'],
  cli: ['errors', 'jwe', 'keys', 'schema', 'client', 'server', 'audit', 'host', 'payments', 'index'],
  // The only barrel; generated code takes its runtime from there.
  index: ['errors', 'jwe', 'keys', 'schema', 'client', 'server', 'audit'],
};

/** The folders a package may be imported from. */
const homes = {
  'node-jose': ['keys'],
  winston: ['audit', 'host'],
  'winston-transport': ['audit', 'host'],
  piscina: ['jwe'],
  'lru-cache': ['jwe', 'server'],
  '@grpc/grpc-js': ['client', 'server', 'host', 'payments', 'cli'],
  '@bufbuild/protobuf': ['schema', 'codegen', 'cli'],
  '@bufbuild/protoplugin': ['codegen'],
  commander: ['cli'],
  '@opentelemetry/api': ['jwe', 'client', 'server', 'audit', 'host'],
  '@opentelemetry/sdk-metrics': ['host'],
  '@opentelemetry/exporter-prometheus': ['host'],
  pkcs11js: ['keys'],
  zod: ['host'],
};

/** Files with rules of their own: handlers see opened messages and no crypto. */
const restricted = [
  {
    files: /^payments\/payment[^/]*\.ts$/,
    forbidden: /^(?:node:)?crypto$/,
    why: 'handlers see no crypto',
  },
];

const importPattern = /^(?:import|export|\}|.*\bimport\()[^'"\n]*['"]([^'"]+)['"]/gm;

function listFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'gen' ? [] : listFiles(path);
    return entry.name.endsWith('.ts') ? [path] : [];
  });
}

/** @param name path below src, with or without `.ts` */
function partOf(name) {
  const [folder, wing] = name.replace(/\.ts$/, '').split('/');
  return `${folder}/${wing}` in allowed ? `${folder}/${wing}` : folder;
}

function packageOf(specifier) {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** @returns one line for each broken rule below `source` (a `src` folder) */
export function checkImports(source) {
  const problems = [];
  const graph = new Map();
  for (const path of listFiles(source)) {
    const name = relative(source, path).replaceAll('\\', '/');
    const folder = name.split('/')[0].replace(/\.ts$/, '');
    const part = partOf(name);
    const targets = [];
    const rules = restricted.filter(({ files }) => files.test(name));
    for (const [, specifier] of readFileSync(path, 'utf8').matchAll(importPattern)) {
      if (!specifier.startsWith('.')) {
        for (const { forbidden, why } of rules)
          if (forbidden.test(specifier)) problems.push(`${name}: must not import '${specifier}': ${why}`);
        const owners = homes[packageOf(specifier)];
        if (owners !== undefined && !owners.includes(folder))
          problems.push(`${name}: '${specifier}' belongs in ${owners.join(', ')}`);
        continue;
      }
      const target = relative(source, resolve(dirname(path), specifier))
        .replaceAll('\\', '/')
        .replace(/\.js$/, '');
      for (const { forbidden, why } of rules)
        if (forbidden.test(target)) problems.push(`${name}: must not import ${target}: ${why}`);
      const [targetFolder] = target.split('/');
      if (targetFolder === 'gen') {
        if (target.endsWith('_sealed') && !['payments', 'cli'].includes(folder))
          problems.push(`${name}: '${specifier}' belongs to the payments app`);
        continue;
      }
      targets.push(`${target}.ts`);
      const open = allowed[part] ?? [];
      const targetPart = partOf(target);
      if (targetPart !== part && ![targetFolder, targetPart, target].some((each) => open.includes(each))) {
        problems.push(`${name}: ${part} must not import ${target}`);
      }
    }
    graph.set(name, targets);
  }
  return [...problems, ...findCycles(graph)];
}

function findCycles(graph) {
  const cycles = [];
  const done = new Set();
  const visit = (name, trail) => {
    if (trail.includes(name)) {
      cycles.push(`cycle: ${[...trail.slice(trail.indexOf(name)), name].join(' → ')}`);
      return;
    }
    if (done.has(name)) return;
    for (const target of graph.get(name) ?? []) visit(target, [...trail, name]);
    done.add(name);
  };
  for (const name of graph.keys()) visit(name, []);
  return cycles;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const problems = checkImports(resolve(process.argv[2] ?? 'src'));
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
}
