package accesslog

import (
	"encoding/json"
	"testing"
)

// logged is a line as HAProxy writes it.
const logged = `{"reason":"-","would":"-","sni":"api.example.com","src":"10.0.0.2","port":443,"dst":"203.0.113.10","source":"198.51.100.1","in":1517,"out":5210,"connect":3,"total":20,"state":"--"}` + "\n"

func TestWhatHAProxyWritesIsReadWithoutDetour(t *testing.T) {
	for name, text := range map[string]string{
		"passthrough": logged,
		"pool": `{"reason":"-","sni":"api.example.com","src":"10.0.0.2","port":8080,"dst":"203.0.113.10","source":"-","in":1,"out":2,` +
			`"connect":-1,"total":20,"state":"--","status":200,"retries":"+1","backend":"api:443"}` + "\n",
	} {
		var plain line
		if !plain.readPlain(text) {
			t.Errorf("%s: must be read as a plain line", name)
		}
	}
	r, err := Parse([]byte(`{"reason":"-","sni":"a.example.com","dst":"203.0.113.10","state":"--","status":502,"retries":"+2","backend":"api:443"}`))
	if err != nil || r.Status != 502 || r.Retries != 2 || r.Backend != "api:443" || r.Unrouted {
		t.Errorf("pool: %+v, %v", r, err)
	}
	if _, err := Parse([]byte(`{"port":65536}`)); err == nil {
		t.Error("port 65536: want an error")
	}
}

// FuzzPlainLine: what is read without encoding/json means to it exactly the same.
func FuzzPlainLine(f *testing.F) {
	for _, seed := range []string{logged, `{}`, `{"reason":"a\"b"}`, `{"in":-0,"out":01,"total":+1}`, `{"in":999999999999999999}`, `{"IN":1,"other":[]}`, `{"in":1,}`, `{"in":1 }`, `{"in":1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var plain, full line
		if !plain.readPlain(string(text)) {
			return
		}
		if err := json.Unmarshal(text, &full); err != nil || plain != full {
			t.Fatalf("%q: read as %+v; encoding/json: %+v, %v", text, plain, full, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := []byte(logged)
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
