package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/components/allowlist"
)

const date = "2026-01-31T00:00:00Z"

func draining() []allowlist.Field {
	return []allowlist.Field{{Path: []string{"draining"}, Value: date}}
}

func confirmed() []allowlist.Field {
	return []allowlist.Field{{Path: []string{"confirmed", "payments"}, Value: date}}
}

func TestEditRecordTouchesNothingElse(t *testing.T) {
	const head = "# A comment.\nconfig:\n  sallyport:cloud: local # here\n\n"
	const foot = "  # The last one.\n  sallyport:lab: {}\nencryptionsalt: v1:x\n"
	for name, test := range map[string]struct {
		before string
		fields []allowlist.Field
		after  string
	}{
		"no section": {
			head + foot, draining(),
			head + "  # The last one.\n  sallyport:lab: {}\n  sallyport:allowlist:\n    ips:\n      nat-1:\n        draining: \"" + date + "\"\nencryptionsalt: v1:x\n",
		},
		"no ips": {
			head + "  sallyport:allowlist:\n    reserve: 1 # one\n\n" + foot, draining(),
			head + "  sallyport:allowlist:\n    reserve: 1 # one\n    ips:\n      nat-1:\n        draining: \"" + date + "\"\n\n" + foot,
		},
		"ips and nothing": {
			head + "  sallyport:allowlist:\n    ips:\n    reserve: 1\n" + foot, draining(),
			head + "  sallyport:allowlist:\n    ips:\n      nat-1:\n        draining: \"" + date + "\"\n    reserve: 1\n" + foot,
		},
		"another IP": {
			head + "  sallyport:allowlist:\n    ips:\n      nat-2: {active: 2026-01-01}\n" + foot, draining(),
			head + "  sallyport:allowlist:\n    ips:\n      nat-2: {active: 2026-01-01}\n      nat-1:\n        draining: \"" + date + "\"\n" + foot,
		},
		"the IP": {
			head + "  sallyport:allowlist:\n    ips:\n      nat-1:\n        active: 2026-01-01 # new year\n      nat-2: {}\n" + foot, draining(),
			head + "  sallyport:allowlist:\n    ips:\n      nat-1:\n        active: 2026-01-01 # new year\n        draining: \"" + date + "\"\n      nat-2: {}\n" + foot,
		},
		"the field": {
			head + "  sallyport:allowlist:\n    ips:\n      nat-1:\n        draining: 2026-01-01 # why\n" + foot, draining(),
			head + "  sallyport:allowlist:\n    ips:\n      nat-1:\n        draining: \"" + date + "\" # why\n" + foot,
		},
		"the field in quotes": {
			head + "  sallyport:allowlist:\n    ips:\n      nat-1: {active: '2026-01-01', draining: '2026-01-01'}\n" + foot, draining(),
			head + "  sallyport:allowlist:\n    ips:\n      nat-1: {active: '2026-01-01', draining: \"" + date + "\"}\n" + foot,
		},
		"all in one line": {
			head + "  sallyport:allowlist: {reserve: 1, notice: {default: \"}\"}} # x\n" + foot, confirmed(),
			head + "  sallyport:allowlist: {reserve: 1, notice: {default: \"}\"}, ips: {nat-1: {confirmed: {payments: \"" + date + "\"}}}} # x\n" + foot,
		},
		"empty braces": {
			head + "  sallyport:allowlist: {}\n" + foot, draining(),
			head + "  sallyport:allowlist: {ips: {nat-1: {draining: \"" + date + "\"}}}\n" + foot,
		},
		"a second partner": {
			head + "  sallyport:allowlist:\n    ips:\n      nat-1:\n        confirmed:\n          ledger: 2026-01-01\n        active: 2026-01-02\n" + foot, confirmed(),
			head + "  sallyport:allowlist:\n    ips:\n      nat-1:\n        confirmed:\n          ledger: 2026-01-01\n          payments: \"" + date + "\"\n        active: 2026-01-02\n" + foot,
		},
		"a key without namespace": {
			"config:\n  allowlist: {reserve: 1}\n", draining(),
			"config:\n  allowlist: {reserve: 1, ips: {nat-1: {draining: \"" + date + "\"}}}\n",
		},
		"no line break at the end": {
			"config:\n  sallyport:allowlist:\n    reserve: 1", draining(),
			"config:\n  sallyport:allowlist:\n    reserve: 1\n    ips:\n      nat-1:\n        draining: \"" + date + "\"\n",
		},
		"a list over several lines before": {
			"config:\n  sallyport:x:\n  - a\n  - b: |\n      text\n      sallyport:allowlist: {}\n", draining(),
			"config:\n  sallyport:x:\n  - a\n  - b: |\n      text\n      sallyport:allowlist: {}\n  sallyport:allowlist:\n    ips:\n      nat-1:\n        draining: \"" + date + "\"\n",
		},
		"two fields": {
			"config:\n  sallyport:allowlist: {}\n", append(draining(), allowlist.Field{Path: []string{"slot"}, Value: "nat-2"}),
			"config:\n  sallyport:allowlist: {ips: {nat-1: {draining: \"" + date + "\", slot: \"nat-2\"}}}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := EditRecord([]byte(test.before), "nat-1", test.fields)
			if err != nil || string(got) != test.after {
				t.Errorf("%v, got\n%swant\n%s", err, got, test.after)
			}
		})
	}
}

func TestEditRecordRefusesWhatItCannotDo(t *testing.T) {
	for name, text := range map[string]string{
		"a section that is a text": "config:\n  sallyport:allowlist: '{\"reserve\": 1}'\n",
		"ips that is a list":       "config:\n  sallyport:allowlist:\n    ips: [nat-1]\n",
		"an alias":                 "x: &a {ips: {}}\nconfig:\n  sallyport:allowlist: *a\n",
		"a block as value":         "config:\n  sallyport:allowlist:\n    ips:\n      nat-1:\n        draining: |\n          2026-01-01\n",
		"no config":                "encryptionsalt: x\n",
		"no mapping":               "- a\n",
		"no YAML":                  "config: [\n",
	} {
		got, err := EditRecord([]byte(text), "nat-1", draining())
		if err == nil || got != nil || !strings.Contains(err.Error(), "sallyport:allowlist.ips.nat-1.draining: cannot be written") || !strings.Contains(err.Error(), "write it by hand") {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

func TestEveryGoodStackFileCanBeEdited(t *testing.T) {
	shipped, err := filepath.Glob("../../stacks/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(shipped, files(t, "good/*.yaml")...) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		edited, err := EditRecord(data, "nat-1", append(confirmed(), draining()...))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		s, err := ParseFile(path, edited)
		if err != nil || s.Allowlist.IPs["nat-1"].Draining != date || s.Allowlist.IPs["nat-1"].Confirmed["payments"] != date {
			t.Errorf("%s: %v\n%s", path, err, Diff(data, edited))
		}
		again, err := EditRecord(edited, "nat-1", draining())
		if err != nil || string(again) != string(edited) {
			t.Errorf("%s: written twice: %v\n%s", path, err, Diff(edited, again))
		}
	}
}

func TestDiffShowsTheLinesThatDiffer(t *testing.T) {
	before := "a\nb\nc\nd\ne\n\nf\ng\nh\n"
	after := "a\nb\nc\nd\ne\nX\nY\n\nf\ng\nh\n"
	want := "@@ -3,6 +3,8 @@\n c\n d\n e\n+X\n+Y\n\n f\n g\n"
	if got := Diff([]byte(before), []byte(after)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Diff([]byte(before), []byte(before)); got != "" {
		t.Error(got)
	}
}

func FuzzEditRecord(f *testing.F) {
	f.Add([]byte("config:\n  sallyport:allowlist: {reserve: 1}\n"))
	f.Add([]byte("config:\n  sallyport:allowlist:\n    ips:\n      nat-1: {draining: x}\n"))
	f.Add([]byte("config: {sallyport:allowlist: {ips: {}}}\n"))
	f.Add([]byte("config:\n  é: {allowlist: {}}\n  allowlist: {ips: }\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		edited, err := EditRecord(data, "nat-1", draining())
		if err != nil {
			return
		}
		again, err := EditRecord(edited, "nat-1", draining())
		if err != nil || string(again) != string(edited) {
			t.Fatalf("%v: written twice:\n%q\n%q\n%q", err, data, edited, again)
		}
	})
}
