import { expect } from 'chai';
import { CANARY, canariesIn } from '../support/canary.js';
import { describeMatrix } from '../support/matrix.js';
import { generatedSource, loadedSource, loaderSettings } from '../support/sources.js';

const loaded = (name: string) => () => loadedSource(name, loaderSettings[name]!);

describeMatrix('generated plans', generatedSource);
describeMatrix('run-time plans', loaded('its defaults'));
describeMatrix('run-time plans, names kept and texts', loaded('names kept and texts'));
describeMatrix('a generated client and a run-time server', generatedSource, loaded('its defaults'));
describeMatrix('a run-time client and a generated server', loaded('names kept and texts'), generatedSource);

describe('the search for canaries', () => {
  for (const [form, encode] of Object.entries({
    text: (text: string) => text,
    'Latin-1 of the bytes': (text: string) => Buffer.from(text).toString('latin1'),
    JSON: JSON.stringify,
    hex: (text: string) => Buffer.from(text).toString('hex'),
    base64: (text: string) => Buffer.from(text).toString('base64'),
    base64url: (text: string) => Buffer.from(text).toString('base64url'),
  })) {
    it(`finds one as ${form}, at any alignment`, () => {
      for (const before of ['', '1', '12', '123']) {
        expect(canariesIn(encode(`${before}${CANARY}${before}`)), before).not.to.deep.equal([]);
      }
      expect(canariesIn(encode('12345 nothing of the kind'))).to.deep.equal([]);
    });
  }
});
