/** What `npm run generate` runs, in order, and check-generated.mjs repeats. */

/** buf's templates. */
export const templates = [
  'buf.gen.yaml',
  'proto/buf.gen.yaml',
  'proto/web.gen.yaml',
  'test/protos/buf.gen.yaml',
  'test/protos/web.gen.yaml',
];

/** Scripts beside this one. */
export const scripts = ['make-descriptors.mjs', 'make-programs.mjs'];
