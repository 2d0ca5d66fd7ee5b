/** The package's entry points as its users see them: what each exports, and which types its signatures name. */
import { readFileSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import ts from 'typescript';

/** One module that users import. */
export interface EntryPoint {
  /** What users write, e.g. `sealwire/audit`. */
  readonly name: string;
  /** Its declaration file. */
  readonly types: string;
  readonly exports: ReadonlySet<string>;
  /** Types that are named by what is exported, but are not exported: `where: Type`. */
  readonly hidden: readonly string[];
}

/** Paths of declaration files by the names that users import. */
export function listEntryPoints(folder = '.'): Map<string, string> {
  const { exports } = JSON.parse(readFileSync(resolve(folder, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { readonly types: string }>;
  };
  const entries = Object.entries(exports).flatMap(([path, target]) =>
    typeof target === 'string' ? [] : [[`sealwire${path.slice(1)}`, resolve(folder, target.types)] as const],
  );
  return new Map(entries);
}

/**
 * Reads declaration files.
 *
 * @param files declaration files by entry name
 * @param root folder of the declarations that count as the package's own
 */
export function readEntryPoints(files: ReadonlyMap<string, string>, root: string): EntryPoint[] {
  const options: ts.CompilerOptions = { module: ts.ModuleKind.NodeNext, types: [], noLib: true };
  const host = ts.createCompilerHost(options);
  // Only the package's own files matter.
  host.resolveModuleNameLiterals = (literals, from) =>
    literals.map(({ text }) => {
      const path = resolve(from, '..', text).replace(/\.js$/, '.d.ts');
      const resolvedFileName = path.replaceAll(sep, '/');
      return { resolvedModule: text.startsWith('.') ? { resolvedFileName, extension: '.d.ts' } : undefined };
    });
  const program = ts.createProgram([...files.values()], options, host);
  const checker = program.getTypeChecker();
  const resolveAlias = (symbol: ts.Symbol) =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  // Google's own messages are reached by `WellKnown['Timestamp']`.
  const isOwn = ({ declarations = [] }: ts.Symbol) =>
    declarations.some(({ parent }) => {
      const { fileName } = parent.getSourceFile();
      return fileName.startsWith(`${resolve(root).replaceAll(sep, '/')}/`) && !fileName.includes('/gen/google/');
    });

  return [...files].map(([name, types]) => {
    const file = program.getSourceFile(types);
    const module = file && checker.getSymbolAtLocation(file);
    if (module === undefined) throw new Error(`${types} is missing or exports nothing`);
    const exported = checker.getExportsOfModule(module);
    const visible = new Set(exported.map(resolveAlias));
    const hidden = new Set<string>();
    const visit = (where: string, node: ts.Node): void => {
      // Of `keyof T`, `z.input<typeof schema>` and `(typeof list)[number]` users see what comes out.
      if (ts.isTypeOperatorNode(node) && node.operator === ts.SyntaxKind.KeyOfKeyword) return;
      if (ts.isTypeQueryNode(node) && ts.isTypeReferenceNode(node.parent)) return;
      if (ts.isIndexedAccessTypeNode(node) && ts.isParenthesizedTypeNode(node.objectType)) return;
      if (ts.canHaveModifiers(node) && node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword))
        return;
      const named = nameOf(node);
      const symbol = named && checker.getSymbolAtLocation(named);
      if (named && symbol && !(symbol.flags & ts.SymbolFlags.TypeParameter)) {
        const target = resolveAlias(symbol);
        if (isOwn(target) && !visible.has(target)) hidden.add(`${where}: ${named.getText()}`);
      }
      ts.forEachChild(node, (child) => visit(where, child));
    };
    for (const symbol of exported) {
      for (const node of resolveAlias(symbol).declarations ?? []) visit(symbol.name, node);
    }
    return { name, types, exports: new Set(exported.map((symbol) => symbol.name)), hidden: [...hidden].sort() };
  });
}

/** The name by which a node means a type, if it does. */
function nameOf(node: ts.Node): ts.Node | undefined {
  if (ts.isTypeReferenceNode(node)) return node.typeName;
  if (ts.isExpressionWithTypeArguments(node)) return node.expression;
  if (ts.isTypeQueryNode(node)) return node.exprName;
  if (ts.isImportTypeNode(node)) return node.qualifier;
  return undefined;
}
