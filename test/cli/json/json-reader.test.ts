import { expect } from 'chai';
import fc from 'fast-check';
import { JsonSplitter, readJson, toPlain } from '../../../src/cli/json/json-reader.js';

const plain = (text: string) => toPlain(readJson(text));

describe('readJson', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(0, 2), (text, space) => {
        const spaced = JSON.stringify(JSON.parse(text), null, space);
        expect(toPlain(readJson(spaced), 'double')).to.deep.equal(JSON.parse(spaced));
      }),
    );
  });

  it('keeps integers that a double cannot hold', () => {
    expect(plain('[9007199254740993, -9223372036854775808, 18446744073709551615]')).to.deep.equal([
      '9007199254740993',
      '-9223372036854775808',
      '18446744073709551615',
    ]);
    expect(plain('[9007199254740991, 1.5, 1e30, -0.1]')).to.deep.equal([9007199254740991, 1.5, 1e30, -0.1]);
    expect(toPlain(readJson('9007199254740993'), 'double')).to.equal(Number('9007199254740993'));
  });

  for (const [text, said] of [
    ['', 'line 1, column 1: the text ends where a value should be'],
    ['{', 'line 1, column 2: expected a name in double quotes'],
    ['{"a" 1}', "line 1, column 6: expected ':'"],
    ['{\n  "a": 1,\n  "b": x\n}', 'line 3, column 8: not a JSON value'],
    ['{"a":1,}', 'line 1, column 8: expected a name in double quotes'],
    ["{'a':1}", 'line 1, column 2: expected a name in double quotes'],
    ['{"a":1 "b":2}', "line 1, column 8: expected ',' or '}'"],
    ['[1 2]', "line 1, column 4: expected ',' or ']'"],
    ['{"a":1,"a":2}', 'line 1, column 8: the name occurs twice'],
    ['"ab', 'line 1, column 4: the text ends within a string'],
    ['"a\nb"', 'line 1, column 3: a line break or another control character in a string'],
    ['"\\x"', 'line 1, column 2: not a JSON escape'],
    ['"\\u12g4"', 'line 1, column 2: not a JSON escape'],
    ['01', 'line 1, column 2: more text after the value'],
    ['1 2', 'line 1, column 3: more text after the value'],
    ['NaN', 'line 1, column 1: not a JSON value'],
    ['['.repeat(300), 'line 1, column 202: nested too deep'],
  ] as const) {
    it(`tells where ${JSON.stringify(text.slice(0, 30))} is wrong, quoting nothing`, () => {
      expect(() => readJson(text))
        .to.throw(said)
        .with.property('code', 'SEAL_INPUT');
    });
  }

  it('tells the place of each of many values, in time that grows with the text alone', function () {
    // Counting from the start for each value took minutes.
    this.timeout(20_000);
    for (const space of ['', '\n']) {
      const node = readJson(`[${Array.from({ length: 150_000 }, () => '{"a":1}').join(`,${space}`)}]`);
      const { at } = (node.kind === 'array' && node.items.at(-1)) || node;
      expect(at).to.deep.equal(space === '' ? { line: 1, column: 8 * 149_999 + 2 } : { line: 150_000, column: 1 });
    }
  });

  it('takes a member called __proto__ as one', () => {
    const value = plain('{"__proto__": {"a": 1}}') as object;
    expect(Object.keys(value)).to.deep.equal(['__proto__']);
    expect(Object.getPrototypeOf(value)).to.equal(Object.prototype);
  });
});

describe('JsonSplitter', () => {
  it('gives the same values however the text is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.dictionary(fc.string(), fc.jsonValue())), fc.nat(7), (values, size) => {
        const text = values.map((value) => JSON.stringify(value, null, 1)).join(size % 2 === 0 ? '' : ' \n');
        const splitter = new JsonSplitter();
        const found: unknown[] = [];
        for (let index = 0; index < text.length; index += size + 1) {
          found.push(...splitter.push(text.slice(index, index + size + 1)));
        }
        found.push(...splitter.end());
        expect(found.map((node) => toPlain(node as never, 'double'))).to.deep.equal(JSON.parse(JSON.stringify(values)));
      }),
    );
  });

  it('gives a value as soon as its last brace is there', () => {
    const splitter = new JsonSplitter();
    expect(splitter.push('{"a": "}"')).to.have.length(0);
    expect(splitter.push('}')).to.have.length(1);
  });

  it('counts lines and columns through all values', () => {
    const splitter = new JsonSplitter();
    splitter.push('{"a":\n1} {"b":2}\n');
    expect(() => splitter.push('  {"c": ?}')).to.throw('line 3, column 9: not a JSON value');
  });

  it('refuses half a value at the end', () => {
    const splitter = new JsonSplitter();
    splitter.push('{"a": 1} {"b"');
    expect(() => splitter.end()).to.throw("line 1, column 14: expected ':'");
  });

  it('does not collect a message without end', () => {
    const splitter = new JsonSplitter();
    expect(() => splitter.push(`["${'a'.repeat(16_777_216)}`)).to.throw('the message is too long');
  });
});
