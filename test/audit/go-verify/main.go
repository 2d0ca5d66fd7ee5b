// Verifies a Sealwire audit log with the code that verifies Go's checksum database. It shares nothing with
// Sealwire but docs/audit-format.md: notes are opened by sumdb/note, trees and proofs are checked by sumdb/tlog.
//
// Usage: go-verify LOG-FOLDER PROOF...
package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// checkpoint is a signed tree head.
type checkpoint struct {
	size int64
	root tlog.Hash
}

// log is what is known of the log under test.
type auditLog struct {
	verifier note.Verifier
	leaves   []tlog.Hash
	stored   []tlog.Hash
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: go-verify LOG-FOLDER PROOF...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir string, proofs []string) error {
	l, err := readLog(dir)
	if err != nil {
		return err
	}
	count, err := l.checkCheckpoints(dir)
	if err != nil {
		return err
	}
	for _, path := range proofs {
		if err := l.checkProof(path); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	fmt.Printf("%d records, %d checkpoints, %d proofs\n", len(l.leaves), count, len(proofs))
	return nil
}

// readLog hashes every line and compares it with the leaf file.
func readLog(dir string) (*auditLog, error) {
	vkey, err := os.ReadFile(filepath.Join(dir, "log.vkey"))
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(strings.TrimSuffix(string(vkey), "\n"))
	if err != nil {
		return nil, err
	}
	l := &auditLog{verifier: verifier}
	segments, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	sort.Strings(segments)
	for _, path := range segments {
		if err := l.readSegment(path); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return l, nil
}

func (l *auditLog) readSegment(path string) error {
	lines, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	leaves, err := os.ReadFile(strings.TrimSuffix(path, ".jsonl") + ".leaves")
	if err != nil {
		return err
	}
	first, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(path), ".jsonl"), 10, 64)
	if err != nil || first != int64(len(l.leaves)) {
		return errors.New("does not follow the segment before it")
	}
	for _, line := range bytes.SplitAfter(lines, []byte("\n")) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		index := int64(len(l.leaves))
		hash := tlog.RecordHash(bytes.TrimSuffix(line, []byte("\n")))
		if len(leaves) < tlog.HashSize || !bytes.Equal(leaves[:tlog.HashSize], hash[:]) {
			return fmt.Errorf("record %d is not its leaf", index)
		}
		leaves = leaves[tlog.HashSize:]
		more, err := tlog.StoredHashesForRecordHash(index, hash, l)
		if err != nil {
			return err
		}
		l.leaves = append(l.leaves, hash)
		l.stored = append(l.stored, more...)
	}
	return nil
}

// ReadHashes makes the log a tlog.HashReader.
func (l *auditLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(l.stored)) {
			return nil, errors.New("a hash that the log does not have")
		}
		hashes[i] = l.stored[index]
	}
	return hashes, nil
}

// checkCheckpoints compares every checkpoint with the tree of the lines.
func (l *auditLog) checkCheckpoints(dir string) (int, error) {
	latest, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return 0, err
	}
	all, err := os.ReadFile(filepath.Join(dir, "checkpoints"))
	if err != nil {
		return 0, err
	}
	notes := splitNotes(string(all))
	if len(notes) == 0 || notes[len(notes)-1] != string(latest) {
		return 0, errors.New("checkpoints does not end with checkpoint")
	}
	for _, text := range notes {
		c, err := l.openCheckpoint(text)
		if err != nil {
			return 0, err
		}
		root, err := tlog.TreeHash(c.size, l)
		if err != nil {
			return 0, err
		}
		if root != c.root {
			return 0, fmt.Errorf("the checkpoint of %d records has another root", c.size)
		}
	}
	return len(notes), nil
}

// openCheckpoint verifies a note and reads its three lines.
func (l *auditLog) openCheckpoint(text string) (checkpoint, error) {
	opened, err := note.Open([]byte(text), note.VerifierList(l.verifier))
	if err != nil {
		return checkpoint{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != l.verifier.Name() {
		return checkpoint{}, errors.New("not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return checkpoint{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return checkpoint{size, root}, err
}

func (l *auditLog) checkProof(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(text), "\n\n")
	if !found {
		return errors.New("not a proof")
	}
	lines := strings.Split(head, "\n")
	switch lines[0] {
	case "c2sp.org/tlog-proof@v1":
		return l.checkInclusion(lines[1:], rest)
	case "sealwire-consistency-proof@v1":
		return l.checkConsistency(lines[1:], rest)
	}
	return errors.New("not a proof of a known format")
}

func (l *auditLog) checkInclusion(lines []string, text string) error {
	if len(lines) < 2 {
		return errors.New("too few lines")
	}
	record, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[0], "extra "))
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return err
	}
	hashes, err := parseHashes(lines[2:])
	if err != nil {
		return err
	}
	c, err := l.openCheckpoint(text)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(hashes, c.size, c.root, index, tlog.RecordHash(record)); err != nil {
		return err
	}
	own, err := tlog.ProveRecord(c.size, index, l)
	return sameProof(hashes, own, err)
}

func (l *auditLog) checkConsistency(lines []string, text string) error {
	hashes, err := parseHashes(lines)
	if err != nil {
		return err
	}
	notes := splitNotes(text + "\n")
	if len(notes) != 2 {
		return errors.New("not two checkpoints")
	}
	older, err := l.openCheckpoint(notes[0])
	if err != nil {
		return err
	}
	newer, err := l.openCheckpoint(notes[1])
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(hashes, newer.size, newer.root, older.size, older.root); err != nil {
		return err
	}
	own, err := tlog.ProveTree(newer.size, older.size, l)
	return sameProof(hashes, own, err)
}

func sameProof(theirs, own []tlog.Hash, err error) error {
	if err != nil {
		return err
	}
	if fmt.Sprint(theirs) != fmt.Sprint(own) {
		return errors.New("not the proof that tlog makes")
	}
	return nil
}

func parseHashes(lines []string) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(lines))
	for i, line := range lines {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		hashes[i] = hash
	}
	return hashes, nil
}

// splitNotes takes notes apart that are each followed by an empty line.
func splitNotes(text string) []string {
	blocks := strings.Split(text, "\n\n")
	var notes []string
	for i := 0; i+2 < len(blocks); i += 2 {
		notes = append(notes, blocks[i]+"\n\n"+blocks[i+1]+"\n")
	}
	return notes
}
