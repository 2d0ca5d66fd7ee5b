import { describeConformance } from '../support/conformance.js';
import { generatedSource, loadedSource, loaderSettings } from '../support/sources.js';

describeConformance('generated code', generatedSource);

for (const [name, options] of Object.entries(loaderSettings)) {
  describeConformance(`proto-loader with ${name}`, () => loadedSource(name, options));
}

const texts = () => loadedSource('texts', loaderSettings['names kept and texts']!);
const defaults = () => loadedSource('its defaults', loaderSettings['its defaults']!);
describeConformance('a generated client with a loaded server', generatedSource, texts);
describeConformance('a loaded client with a generated server', defaults, generatedSource);
