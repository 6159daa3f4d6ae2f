package haproxy

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fake is an admin socket that knows maps the way HAProxy 2.6 does, messages included.
type fake struct {
	t    *testing.T
	path string

	mu       sync.Mutex
	maps     map[string][]pair            // entries in force, by file
	prepared map[string]map[string][]pair // by file and version
	version  int
	lines    []string // every command, payloads cut
	fail     func(command string) string
	stat     string
	table    string
	info     string
}

type pair struct{ key, value string }

func newFake(t *testing.T, files ...string) *fake {
	t.Helper()
	f := &fake{t: t, path: filepath.Join(t.TempDir(), "admin.sock"), maps: map[string][]pair{}, prepared: map[string]map[string][]pair{}}
	for _, file := range files {
		f.maps[file] = nil
	}
	listener, err := net.Listen("unix", f.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go f.serve(conn)
		}
	}()
	return f
}

// serve reads one line, which may hold several commands or announce a payload that ends with an empty line.
func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, 1<<20)
	line, err := reader.ReadString('\n')
	if err != nil {
		return
	}
	if len(line) > 131072 {
		fmt.Fprint(conn, "The maximum command line length has been exceeded\n\n")
		return
	}
	line = strings.TrimSuffix(line, "\n")
	var payload []string
	if command, ok := strings.CutSuffix(line, " <<"); ok {
		line = command
		size := 0
		for {
			part, err := reader.ReadString('\n')
			if err != nil {
				return
			}
			if size += len(part); size > 131072 {
				fmt.Fprint(conn, "The maximum payload size has been exceeded\n\n")
				return
			}
			if part == "\n" {
				break
			}
			payload = append(payload, strings.TrimSuffix(part, "\n"))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, command := range strings.Split(line, ";") {
		command = strings.TrimSpace(command)
		f.lines = append(f.lines, command)
		reply := ""
		if f.fail != nil {
			reply = f.fail(command)
		}
		if reply == "" {
			reply = f.run(strings.Fields(command), payload)
		}
		fmt.Fprint(conn, reply+"\n")
	}
}

func (f *fake) run(words []string, payload []string) string {
	switch {
	case slices.Equal(words, []string{"show", "info"}):
		return f.info
	case len(words) > 1 && words[0] == "show" && words[1] == "stat":
		return f.stat
	case len(words) > 1 && words[0] == "show" && words[1] == "table":
		return f.table
	case len(words) < 3 || words[1] != "map":
		return "Unknown command.\n"
	}
	version := ""
	if strings.HasPrefix(words[2], "@") {
		version = words[2][1:]
		words = slices.Delete(words, 2, 3)
	}
	file := words[2]
	if _, ok := f.maps[file]; !ok {
		return "Unknown map identifier. Please use #<id> or <file>.\n"
	}
	return f.change(words[0], version, file, words[3:], payload)
}

func (f *fake) change(verb, version, file string, args, payload []string) string {
	at := -1
	if len(args) > 0 {
		at = slices.IndexFunc(f.maps[file], func(p pair) bool { return p.key == args[0] })
	}
	switch verb {
	case "prepare":
		f.version++
		if f.prepared[file] == nil {
			f.prepared[file] = map[string][]pair{}
		}
		f.prepared[file][fmt.Sprint(f.version)] = []pair{}
		return fmt.Sprintf("New version created: %d\n", f.version)
	case "add":
		if version == "" {
			f.maps[file] = append(f.maps[file], pair{args[0], args[1]})
			return ""
		}
		for _, line := range payload {
			key, value, ok := strings.Cut(line, " ")
			if !ok {
				return "Missing value.\n"
			}
			f.prepared[file][version] = append(f.prepared[file][version], pair{key, value})
		}
	case "commit":
		entries, ok := f.prepared[file][version]
		if !ok {
			return "Version number out of range.\n"
		}
		f.maps[file] = entries
		delete(f.prepared[file], version)
	case "set":
		if at < 0 {
			return "entry not found.\n"
		}
		f.maps[file][at].value = args[1]
	case "del":
		if at < 0 {
			return "Key not found.\n"
		}
		f.maps[file] = slices.Delete(f.maps[file], at, at+1)
	}
	return ""
}

// has returns the entries of a map, and fails the test if a key is there twice.
func (f *fake) has(file string) map[string]string {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	entries := map[string]string{}
	for _, p := range f.maps[file] {
		if _, ok := entries[p.key]; ok {
			f.t.Errorf("%s: key %s twice", filepath.Base(file), p.key)
		}
		entries[p.key] = p.value
	}
	return entries
}

// count returns how many commands began with a prefix, and forgets all commands.
func (f *fake) count(prefix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, line := range f.lines {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

func (f *fake) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = nil
}
