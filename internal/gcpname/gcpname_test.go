package gcpname

import (
	"regexp"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 60)
	for name, test := range map[string]struct {
		parts []string
		want  string
	}{
		"plain parts are joined":                {[]string{"prod", "nat-1"}, "prod-nat-1"},
		"63 characters fit":                     {[]string{long, "a1"}, long + "-a1"},
		"64 are cut and told apart":             {[]string{long, "abc"}, strings.Repeat("a", 54) + "-36595be3"},
		"upper case is replaced and told apart": {[]string{"Prod", "nat-1"}, "prod-nat-1-69c96682"},
		"a digit in front gets a letter":        {[]string{"2prod", "nat-1"}, "s-2prod-nat-1-59df1477"},
		"nothing at all":                        {[]string{""}, "s-e3b0c442"},
	} {
		if got := Of(test.parts...); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if Of("a", "b-c") != Of("a-b", "c") {
		t.Error("plain parts that read the same are the same name")
	}
	if Of("A", "b-c") == Of("A-b", "c") {
		t.Error("hashed parts are told apart")
	}
}

func FuzzNamesAreLegal(f *testing.F) {
	legal := regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
	f.Add("prod", "nat-1")
	f.Add("-", "--")
	f.Add("Ä", "")
	f.Fuzz(func(t *testing.T, stack, name string) {
		for _, most := range []int{16, 28, Max} {
			got := Short(most, stack, name)
			if !legal.MatchString(got) || len(got) > most {
				t.Errorf("%q, %q: %q", stack, name, got)
			}
			if got != Short(most, stack, name) {
				t.Error("not stable")
			}
		}
	})
}
