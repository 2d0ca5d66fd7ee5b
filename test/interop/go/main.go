// Seals and opens tokens with go-jose, for test/e2e/other-libraries.test.ts.
//
// Usage: interop seal KEY < {"header": …, "plaintext": …}; interop open KEY < token
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	jose "github.com/go-jose/go-jose/v4"
)

type input struct {
	Header    map[string]any `json:"header"`
	Plaintext string         `json:"plaintext"`
}

func main() {
	out, err := run(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(out)
}

func run(verb, path string) (string, error) {
	key, err := readKey(path)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return "", err
	}
	if verb == "seal" {
		return seal(key, text)
	}
	token, err := jose.ParseEncryptedCompact(strings.TrimSpace(string(text)),
		[]jose.KeyAlgorithm{jose.ECDH_ES_A256KW}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return "", err
	}
	plaintext, err := token.Decrypt(key.Key)
	return string(plaintext), err
}

func seal(key jose.JSONWebKey, text []byte) (string, error) {
	var in input
	if err := json.Unmarshal(text, &in); err != nil {
		return "", err
	}
	options := &jose.EncrypterOptions{}
	for name, value := range in.Header {
		options = options.WithHeader(jose.HeaderKey(name), value)
	}
	recipient := jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: key.Key, KeyID: key.KeyID}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, recipient, options)
	if err != nil {
		return "", err
	}
	token, err := encrypter.Encrypt([]byte(in.Plaintext))
	if err != nil {
		return "", err
	}
	return token.CompactSerialize()
}

func readKey(path string) (jose.JSONWebKey, error) {
	var set jose.JSONWebKeySet
	text, err := os.ReadFile(path)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return jose.JSONWebKey{}, err
	}
	return set.Keys[0], nil
}
