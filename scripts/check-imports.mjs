// Import rules: folders point one way, packages stay in few folders, no cycles; type imports count.
import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * What each part of src/ may import, besides itself and generated code. A part is a folder or, where a folder has
 * wings with rules of their own, `folder/wing`; the entry of a wing counts before that of its folder.
 */
const allowed = {
  errors: [],
  files: ['errors'],
  'turn-queue': [],
  profile: ['errors'],
  schema: ['errors', 'profile'],
  'web/crypto': ['errors', 'profile'],
  'web/keys': ['errors', 'profile', 'web/crypto'],
  web: ['errors', 'profile', 'schema', 'web/crypto', 'web/keys'],
  jwe: ['errors', 'profile'],
  keys: ['errors', 'profile', 'files', 'jwe'],
  loader: ['errors', 'schema'],
  client: ['errors', 'profile', 'turn-queue', 'jwe', 'keys', 'schema'],
  server: ['errors', 'profile', 'turn-queue', 'jwe', 'keys', 'schema'],
  'audit/format': ['errors', 'profile', 'jwe/header', 'jwe/sha256'],
  // The line reader is what both read and write need.
  'audit/write': ['errors', 'profile', 'files', 'jwe/header', 'jwe/sha256', 'audit/format', 'audit/read/line-blocks'],
  'audit/read': ['errors', 'profile', 'jwe/header', 'jwe/sha256', 'audit/format'],
  'audit/index': ['audit/format', 'audit/write', 'audit/read'],
  codegen: ['schema', 'errors'],
  host: ['errors', 'profile', 'files', 'jwe', 'keys', 'schema', 'client', 'server', 'audit'],
  payments: ['errors', 'profile', 'schema', 'server', 'host'],
  cli: [
    'errors',
    'profile',
    'files',
    'jwe',
    'keys',
    'schema',
    'loader',
    'client',
    'server',
    'audit',
    'host',
    'payments',
    'index',
  ],
  // The package's root, and what generated code alone imports.
  index: ['errors', 'profile', 'jwe', 'keys', 'schema', 'loader', 'client', 'server'],
  runtime: ['profile', 'jwe', 'keys', 'schema', 'client', 'server'],
};

/** The folders a package may be imported from. */
const homes = {
  'node-jose': ['keys'],
  winston: ['audit', 'host'],
  'winston-transport': ['audit', 'host'],
  'lru-cache': ['jwe', 'server', 'audit'],
  '@grpc/grpc-js': ['client', 'server', 'host', 'payments', 'cli'],
  '@bufbuild/protobuf': ['schema', 'loader', 'codegen', 'web', 'cli'],
  '@grpc/proto-loader': ['loader', 'cli'],
  '@bufbuild/protoplugin': ['codegen'],
  '@connectrpc/connect': ['web', 'host'],
  '@connectrpc/connect-node': [],
  '@connectrpc/connect-web': [],
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

/** Folders that run in browsers too: nothing that only Node has. */
const withoutNode = ['errors', 'profile', 'schema', 'web'];
/** Generated code without Buffer and grpc-js. */
const portableCode = /^gen\/portable\/|_pb$/;
const nodeGlobals = /\b(?:Buffer|NodeJS|setImmediate|__dirname)\b|\bprocess\./;
const comments = /\/\*[\s\S]*?\*\/|(?<!:)\/\/.*/g;
/** More files in one folder than that, and nobody finds anything. */
const MAX_FILES = 20;

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
    const text = readFileSync(path, 'utf8');
    const isPortable = withoutNode.includes(folder);
    const [global] = (isPortable && nodeGlobals.exec(text.replace(comments, ''))) || [];
    if (global !== undefined) problems.push(`${name}: ${part} must not use ${global}: browsers have none`);
    for (const [, specifier] of text.matchAll(importPattern)) {
      if (!specifier.startsWith('.')) {
        if (isPortable && isBuiltin(specifier))
          problems.push(`${name}: ${part} must not import '${specifier}': browsers have none`);
        for (const { forbidden, why } of rules)
          if (forbidden.test(specifier)) problems.push(`${name}: must not import '${specifier}': ${why}`);
        const owners = homes[packageOf(specifier)];
        if (owners !== undefined && !owners.includes(folder))
          problems.push(`${name}: '${specifier}' belongs in ${owners.join(', ') || 'no folder'}`);
        continue;
      }
      const target = relative(source, resolve(dirname(path), specifier))
        .replaceAll('\\', '/')
        .replace(/\.js$/, '');
      for (const { forbidden, why } of rules)
        if (forbidden.test(target)) problems.push(`${name}: must not import ${target}: ${why}`);
      const [targetFolder] = target.split('/');
      if (targetFolder === 'gen') {
        if (folder === 'web' && !portableCode.test(target))
          problems.push(`${name}: ${part} must not import ${target}: browsers have no Buffer`);
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
  return [...problems, ...findCrowds([...graph.keys()]), ...findCycles(graph)];
}

function findCrowds(names) {
  const counts = new Map();
  for (const name of names) counts.set(dirname(name), (counts.get(dirname(name)) ?? 0) + 1);
  const crowded = [...counts].filter(([, count]) => count > MAX_FILES);
  return crowded.map(([folder, count]) => `${folder}: ${count} files; at most ${MAX_FILES} in one folder`);
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
