package stack

import (
	"reflect"
	"testing"
	"time"

	"github.com/sallyport/sallyport/components/allowlist"
)

func TestTheLifeOfIPsIsReadAsRules(t *testing.T) {
	date := func(text string) time.Time {
		d, err := allowlist.ParseDate(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	want := allowlist.Rules{
		Notice: map[string]time.Duration{"default": 14 * 24 * time.Hour, "payments": 30 * 24 * time.Hour},
		Drain:  36 * time.Hour, Wait: true, Place: "sallyport:allowlist.ips",
		Records: map[string]allowlist.Record{
			"nat-reserve-1": {
				Slot: "nat-eu-west-1a-2", Announced: date("2026-01-02"), Active: date("2026-03-01"),
				Confirmed: map[string]time.Time{"payments": date("2026-01-03T10:00:00Z")},
			},
			"proxy-eu-west-1b-1-1": {Draining: date("2026-02-01"), Retired: date("2026-03-01"), Released: date("2026-04-01")},
		},
	}
	list := read(t, "allowlist-life").Allowlist
	if got := list.Rules(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if p := list.Publish; p == nil || p.Access != AccessPublic || !p.Notices || p.Prefix != "partners/" {
		t.Errorf("%+v", p)
	}
}

func TestWithoutASectionNobodyWaitsAndIPsDrainForAWeek(t *testing.T) {
	rules := read(t, "minimal").Allowlist.Rules()
	if rules.NoticeOf("payments") != 0 || rules.Drain != 7*24*time.Hour || rules.Wait || len(rules.Records) != 0 {
		t.Errorf("%+v", rules)
	}
}
