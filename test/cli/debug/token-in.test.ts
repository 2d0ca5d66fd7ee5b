/** Tokens in texts. */
import { expect } from 'chai';
import { readToken, readTokens } from '../../../src/cli/debug/token-in.js';
import { refusal } from '../../keys/helpers.js';

const TOKEN = 'eyJhbGciOiJFQ0RILUVTIn0.QUFBQQ.QUFB.QUFBQUFB.QUFB';
const OTHER = TOKEN.replace('QUFBQQ', 'QkJCQg');
const JWT = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.QUFB';

describe('readTokens', () => {
  const cases: readonly (readonly [name: string, text: string, tokens: readonly string[]])[] = [
    ['a token alone', `${TOKEN}\n`, [TOKEN]],
    ['a padded one, whose padding is worth a word', `${TOKEN}==`, [`${TOKEN}==`]],
    [
      'one that a mail program has broken',
      `${TOKEN.slice(0, 30)}\n${TOKEN.slice(30)}`,
      [`${TOKEN.slice(0, 30)}\n${TOKEN.slice(30)}`],
    ],
    ['a header line', `sealwire-reply: ${TOKEN}`, [TOKEN]],
    ['JSON text', JSON.stringify(TOKEN), [TOKEN]],
    ['a log line', `2026-01-02T03:04:05Z INFO sent card=${TOKEN}, took 3.2 ms.`, [TOKEN]],
    ['the end of a sentence', `It was ${TOKEN}.`, [TOKEN]],
    ['several lines, with one twice', `a ${TOKEN}\nb ${OTHER}\nc ${TOKEN}`, [TOKEN, OTHER]],
    ['a JWT beside it', `authorization: Bearer ${JWT} card ${TOKEN}`, [TOKEN]],
    ['a JWT alone', `authorization: Bearer ${JWT}`, [JWT]],
    [
      'a token that a log has cut',
      'card=eyJhbGciOiJFQ0RILUVTIn0.QUFBQQ.QUF… (cut)',
      ['eyJhbGciOiJFQ0RILUVTIn0.QUFBQQ.QUF'],
    ],
    ['one that a log has cut early', `card=${TOKEN.slice(0, 26)}`, [TOKEN.slice(0, 26)]],
    ['one cut in its header, in JSON', '{"card":"eyJhbGciOiJFQ0RILUVTIn"}', ['eyJhbGciOiJFQ0RILUVTIn']],
    ['one cut with dots', `${TOKEN.slice(0, 40)}...`, [TOKEN.slice(0, 40)]],
    ['one cut with an ellipsis', `${TOKEN.slice(0, 20)}…`, [TOKEN.slice(0, 20)]],
    ['one cut with dots in a text', `x ${TOKEN.slice(0, 38)}... y`, [TOKEN.slice(0, 38)]],
    ['no token', 'nothing to see', ['nothing to see']],
  ];
  for (const [name, text, tokens] of cases) {
    it(`finds: ${name}`, async () => expect(await readTokens(text)).to.deep.equal(tokens));
  }

  it('wants one where one is needed', async () => {
    expect(await readToken(`x ${TOKEN}`)).to.equal(TOKEN);
    await refusal(() => readToken(`${TOKEN} ${OTHER}`), 'SEAL_INPUT');
    await refusal(() => readToken(' \n'), 'SEAL_INPUT');
  });
});
