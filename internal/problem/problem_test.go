package problem

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
)

type demand struct {
	Rate float64 `json:"rate"`
	Hold float64 `json:"hold"`
}

func (d *demand) Defaults() { *d = demand{Hold: 1} }

type route string

type entry struct {
	Name    string         `json:"name"`
	Hosts   []string       `json:"hosts"`
	Port    int            `json:"port,omitempty"`
	Route   route          `json:"route"`
	Demand  demand         `json:"demand"`
	Spare   *int           `json:"spare"`
	Open    bool           `json:"open"`
	Serial  uint64         `json:"serial"`
	IP      netip.Addr     `json:"ip"`
	Network []netip.Prefix `json:"network"`
	Labels  map[string]int `json:"labels"`
	hidden  int
	Skipped string `json:"-"`
}

func (e *entry) Defaults() { e.Port = 443 }

func decodeEntries(text string) ([]entry, error) {
	var list List
	var entries []entry
	if tree, ok := ParseJSON("place", []byte(text), &list); ok {
		Decode("place", tree, &entries, &list)
	}
	return entries, list.Err()
}

func TestDecodeFillsEveryKindOfField(t *testing.T) {
	entries, err := decodeEntries(`[{"name":"a","hosts":["h"],"port":80,"route":"nat","demand":{"rate":2.5},"spare":0,
		"open":true,"serial":7,"ip":"192.0.2.1","network":["10.0.0.0/8"],"labels":{"x":1e2}}, {}]`)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", struct {
		entry
		S int
	}{entries[0], *entries[0].Spare})
	for _, want := range []string{"Name:a", "Hosts:[h]", "Port:80", "Route:nat", "{Rate:2.5 Hold:1}", "S:0", "Open:true", "Serial:7",
		"IP:192.0.2.1", "Network:[10.0.0.0/8]", "Labels:map[x:100]"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if e := entries[1]; e.Port != 443 || e.Demand.Hold != 1 || e.Spare != nil || e.hidden != 0 {
		t.Errorf("an empty object took the defaults %+v", e)
	}
}

func TestDecodeKeepsAnExplicitZeroApartFromAMissingValue(t *testing.T) {
	entries, err := decodeEntries(`[{"port":0,"demand":{"hold":0}},{"demand":{}}]`)
	if err != nil || entries[0].Port != 0 || entries[0].Demand.Hold != 0 || entries[1].Port != 443 || entries[1].Demand.Hold != 1 {
		t.Errorf("%+v, %v", entries, err)
	}
}

func TestDecodeNamesPlaceRuleValueAndRemedy(t *testing.T) {
	tests := map[string]struct{ input, want string }{
		"a misspelt key":                   {`[{"prot":1}]`, `place[0].prot: unknown key "prot"; did you mean "port"?`},
		"a key in another case":            {`[{"Hosts":[]}]`, `place[0].Hosts: unknown key "Hosts"; did you mean "hosts"?`},
		"a key like none":                  {`[{"demand":{"xyzzyx":1}}]`, `place[0].demand.xyzzyx: unknown key "xyzzyx"; use one of hold, rate`},
		"a key of no exported field":       {`[{"hidden":1}]`, `place[0].hidden: unknown key "hidden"; use one of`},
		"a key with a line break":          {`[{"a\nb":1}]`, `place[0]["a\nb"]: unknown key`},
		"a text for a number":              {`[{"port":"443"}]`, `place[0].port: needs a whole number, got "443"; write it without quotes`},
		"a text for a bool":                {`[{"open":"true"}]`, `place[0].open: needs true or false, got "true"; write it without quotes`},
		"a word for a number":              {`[{"port":"https"}]`, `place[0].port: needs a whole number, got "https"`},
		"a number for a text":              {`[{"name":12}]`, `place[0].name: needs a text, got 12; put it in quotes`},
		"a text for a list":                {`[{"hosts":"h"}]`, `place[0].hosts: needs a list, got "h"; write a list, even of one`},
		"an object for a list":             {`{"name":"a","port":1}`, `place: needs a list, got an object of 2`},
		"a list for an object":             {`[{"demand":[1]}]`, `place[0].demand: needs an object, got a list of 1`},
		"null for a text":                  {`[{"name":null}]`, `place[0].name: needs a text, got null; write a value, or leave`},
		"a fraction":                       {`[{"port":443.5}]`, `place[0].port: needs a whole number, got 443.5`},
		"an infinite number":               {`[{"demand":{"rate":1e999}}]`, `place[0].demand.rate: needs a finite number, got 1e999`},
		"a negative infinite number":       {`[{"port":-1e999}]`, `place[0].port: needs a finite number, got -1e999`},
		"a negative for an unsigned":       {`[{"serial":-1}]`, `place[0].serial: needs a whole number that is not negative, got -1`},
		"a whole number beyond all":        {`[{"port":1e300}]`, `place[0].port: needs a number that is not beyond all measure, got 1e300`},
		"the number that means not given":  {`[{"port":-9223372036854775808}]`, `beyond all measure, got -9223372036854775808`},
		"no IP address":                    {`[{"ip":"192.0.2.300"}]`, `place[0].ip: needs an IP address, got "192.0.2.300"`},
		"an empty IP address":              {`[{"ip":""}]`, `place[0].ip: needs an IP address, got ""`},
		"a number as a network":            {`[{"network":[10]}]`, `place[0].network[0]: needs a network in CIDR notation, got 10`},
		"a wrong value in a map":           {`[{"labels":{"x":"y"}}]`, `place[0].labels.x: needs a whole number, got "y"`},
		"the same key twice":               {`[{"port":1,"port":2}]`, `place[0].port: must not be given twice; remove one`},
		"the same key twice, written so":   {`[{"port":1,"\u0070ort":2}]`, `place[0].port: must not be given twice`},
		"a syntax error on the second row": {"[\n  {,}]", `place:2:4: needs JSON: invalid character ','`},
		"an unfinished value":              {`[{`, `place:1:2: needs JSON: unexpected end of JSON input`},
		"something after the value":        {`[] []`, `place:1:4: needs JSON: invalid character '[' after top-level value`},
		"nothing":                          {``, `place: needs JSON: unexpected end of JSON input`},
		"text that is not UTF-8":           {"[\"\xff\"]", `place: needs UTF-8 text`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := decodeEntries(test.input)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %v\nwant %s and nothing else", err, test.want)
			}
		})
	}
}

func TestDecodeReportsAllProblemsAndKeepsWhatFits(t *testing.T) {
	entries, err := decodeEntries(`[{"name":"kept","prot":1,"port":"x"},{"hosts":[1,"b"]}]`)
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("want three problems, got %v", err)
	}
	if len(entries) != 2 || entries[0].Name != "kept" || entries[1].Hosts[1] != "b" {
		t.Errorf("what fits was not kept: %+v", entries)
	}
}

func TestDecodeTakesGoNumbersToo(t *testing.T) {
	for _, raw := range []any{int(7), int64(7), uint64(7), float64(7), json.Number("7"), json.Number("7.0"), json.Number("0.7e1")} {
		var list List
		var port int
		Decode("p", raw, &port, &list)
		if list.Len() > 0 || port != 7 {
			t.Errorf("%T %v: %d, %v", raw, raw, port, list.Err())
		}
	}
	for _, raw := range []any{math.NaN(), math.Inf(1), math.Inf(-1)} {
		var list List
		Decode("p", raw, new(float64), &list)
		if list.Len() != 1 || !strings.Contains(list.Err().Error(), "p: needs a finite number") {
			t.Errorf("%v: %v", raw, list.Err())
		}
	}
}

func TestNullIsAnEmptyObjectOrList(t *testing.T) {
	entries, err := decodeEntries(`[{"hosts":null,"demand":null,"spare":null,"labels":null}]`)
	if err != nil || entries[0].Hosts != nil || entries[0].Demand.Hold != 1 {
		t.Errorf("%+v, %v", entries, err)
	}
}

func TestParseJSONRefusesLargeAndDeepInput(t *testing.T) {
	var list List
	if _, ok := ParseJSON("f", []byte(strings.Repeat(" ", MaxBytes)+"1"), &list); ok || !strings.Contains(list.Err().Error(), "f: must not be larger than 1048576 bytes, got 1048577") {
		t.Errorf("too large: %v", list.Err())
	}
	for depth, want := range map[int]bool{MaxDepth: true, MaxDepth + 1: false, 100_000: false} {
		var list List
		_, ok := ParseJSON("f", []byte(strings.Repeat("[", depth)+strings.Repeat("]", depth)), &list)
		if ok != want || (list.Len() == 0) != want {
			t.Errorf("depth %d: %v, %v", depth, ok, list.Err())
		}
	}
}

func TestListKeepsABoundedNumberOfProblems(t *testing.T) {
	var list List
	for i := range 1000 {
		list.Addf("place", i, "", "rule %d", i)
	}
	if list.Len() != 1000 || len(list.All()) != maxProblems || !strings.HasSuffix(list.Err().Error(), "\nand 800 more problems") {
		t.Errorf("%d problems, %d kept, ends %q", list.Len(), len(list.All()), list.Err().Error()[len(list.Err().Error())-40:])
	}
	if (&List{}).Err() != nil {
		t.Error("an empty list is an error")
	}
}

func TestShownValuesAreShortAndPrintable(t *testing.T) {
	for want, value := range map[string]any{
		`"a\x1b[31m"`: "a\x1b[31m", `200`: 200.0, `1e-06`: 1e-6, `"nat"`: route("nat"), `1e999`: json.Number("1e999"),
		`"` + strings.Repeat("ä", 80) + `..."`: strings.Repeat("ä", 200), `a list of 1`: []any{"\n"}, `NaN`: math.NaN(),
	} {
		if got := show(value); got != want {
			t.Errorf("%v is shown as %s, want %s", value, got, want)
		}
	}
}

func TestNearestForgivesOneSlipInThreeLetters(t *testing.T) {
	known := []string{"destinations", "nat", "proxies", "lab"}
	for word, want := range map[string]string{"destination": "destinations", "destinatoins": "destinations", "NAT": "nat", "nta": "nat",
		"proxy": "", "proxie": "proxies", "": "", "zzz": "", strings.Repeat("destinations", 6): ""} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func FuzzParseAndDecode(f *testing.F) {
	for _, seed := range []string{`[{"name":"a","hosts":["h"],"demand":{"rate":1}}]`, `{"a":[[[]]],"a":1}`, `[{"ip":"::1"}]`, `[1e999]`, "\xff", `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var list List
		tree, ok := ParseJSON("p", data, &list)
		if !ok {
			if list.Len() == 0 {
				t.Fatal("refused without a reason")
			}
			return
		}
		var entries []entry
		Decode("p", tree, &entries, &list)
		if list.Len() > 0 {
			return
		}
		again, err := json.Marshal(entries)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !e.IP.IsValid() { // the zero address is written as "", which is refused on purpose
				return
			}
		}
		if _, err := decodeEntries(string(again)); err != nil {
			t.Fatalf("%s was accepted and becomes %s, which is not: %v", data, again, err)
		}
	})
}

func TestProblemsThatFollowFromAnUnreadableValueAreLeftOut(t *testing.T) {
	var list List
	var e entry
	Decode("p", map[string]any{"port": "x", "demand": "y", "name": 1, "rate": 1}, &e, &list)
	found := list.Len()
	for _, place := range []string{"p.port", "p.demand", "p.demand.rate", "p.name[0]"} {
		list.Add(place, "is a consequence", nil, "")
	}
	if list.Len() != found {
		t.Error(list.Err())
	}
	for _, place := range []string{"p", "p.portal", "p.hosts", "q.port", "p.rate"} {
		list.Add(place, "is another problem", nil, "")
	}
	if list.Len() != found+5 {
		t.Error(list.Err())
	}
}
