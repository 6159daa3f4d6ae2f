package recovery

import (
	"encoding/json"
	"reflect"
	"testing"
)

const eip = "aws:ec2/eip:Eip"

func create(kind, name string, inputs map[string]any) Step {
	s := Step{Op: "create", URN: "urn:pulumi:prod::sallyport::sallyport:elasticip:Addresses$" + kind + "::" + name}
	s.NewState.Type, s.NewState.Inputs = kind, inputs
	return s
}

func slot(name string) map[string]any {
	return map[string]any{"tags": map[string]any{"sallyport:slot": name, "Name": "prod-" + name}}
}

func thing(kind, id, slot string) Thing {
	return Thing{Type: kind, ID: id, Tags: map[string]string{"sallyport:stack": "prod", "sallyport:slot": slot, "Name": "prod-" + slot}}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	const group, bucket, logs = "aws:autoscaling/group:Group", "aws:s3/bucketV2:BucketV2", "aws:cloudwatch/logGroup:LogGroup"
	creates := []Step{
		create(eip, "elasticip-address-nat-a-1", slot("nat-a-1")),
		create(eip, "elasticip-address-nat-a-2", slot("nat-a-2")),
		create(group, "proxyfleet-slot-a-1", map[string]any{"tags": []any{map[string]any{"key": "sallyport:slot", "value": "proxy-a-1"}}}),
		create(bucket, "routesbucket-bucket", map[string]any{"bucket": "routesbucket-bucket-fffffff"}),
		create(logs, "proxyfleet-log", map[string]any{"name": "/sallyport/prod"}),
		create("aws:vpc/rule:Rule", "bare", map[string]any{"tags": map[string]any{}}),
		{Op: "same", URN: "urn:pulumi:prod::sallyport::" + eip + "::elasticip-address-nat-a-9"},
	}
	cases := map[string]struct {
		known  map[string]bool
		things []Thing
		pairs  map[string]string // name -> id
		left   []string
	}{
		"nothing exists": {},
		"an address by its slot": {
			things: []Thing{thing(eip, "eipalloc-1", "nat-a-1")}, pairs: map[string]string{"elasticip-address-nat-a-1": "eipalloc-1"},
		},
		"an address that the state knows": {known: map[string]bool{eip + " eipalloc-1": true}, things: []Thing{thing(eip, "eipalloc-1", "nat-a-1")}},
		"the same slot twice is for a person": {
			things: []Thing{thing(eip, "eipalloc-1", "nat-a-1"), thing(eip, "eipalloc-2", "nat-a-1")}, left: []string{"eipalloc-1", "eipalloc-2"},
		},
		"a slot that has its address already": {things: []Thing{thing(eip, "eipalloc-9", "nat-a-9")}, left: []string{"eipalloc-9"}},
		"the same tags on another type":       {things: []Thing{thing("aws:ec2/natGateway:NatGateway", "nat-1", "nat-a-1")}, left: []string{"nat-1"}},
		"a name that Pulumi made": {
			things: []Thing{{Type: bucket, ID: "routesbucket-bucket-0a1b2c3", Name: "routesbucket-bucket-0a1b2c3"}},
			pairs:  map[string]string{"routesbucket-bucket": "routesbucket-bucket-0a1b2c3"},
		},
		"a name that the program chose": {
			things: []Thing{{Type: logs, ID: "/sallyport/prod", Name: "/sallyport/prod"}}, pairs: map[string]string{"proxyfleet-log": "/sallyport/prod"},
		},
		"nothing but the stack's tag is no evidence": {
			things: []Thing{{Type: "aws:vpc/rule:Rule", ID: "sgr-1", Tags: map[string]string{"sallyport:stack": "prod"}}}, left: []string{"sgr-1"},
		},
	}
	for name, c := range cases {
		found := Match(Preview{Steps: creates}, c.known, c.things)
		pairs := map[string]string{}
		for _, p := range found.Pairs {
			pairs[p.Name] = p.Thing.ID
		}
		var left []string
		for _, l := range found.Left {
			left = append(left, l.ID)
		}
		if c.pairs == nil {
			c.pairs = map[string]string{}
		}
		if !reflect.DeepEqual(pairs, c.pairs) || !reflect.DeepEqual(left, c.left) {
			t.Errorf("%s: paired %v, left %v; want %v, %v", name, pairs, left, c.pairs, c.left)
		}
	}
}

func TestTheImportFileHoldsWhatWasFoundAndWhatThatNeeds(t *testing.T) {
	t.Parallel()
	var file ImportFile
	text := `{
	  "nameTable": {"aws": "urn:pulumi:prod::sallyport::pulumi:providers:aws::aws"},
	  "resources": [
	    {"type": "sallyport:elasticip:Addresses", "name": "nat", "component": true},
	    {"type": "sallyport:elasticip:Addresses", "name": "proxy", "component": true},
	    {"type": "` + eip + `", "name": "first", "logicalName": "elasticip-address-nat-a-1", "parent": "nat", "provider": "aws", "version": "6.83.0"},
	    {"type": "` + eip + `", "name": "elasticip-address-nat-a-2", "parent": "nat", "provider": "aws"},
	    {"type": "` + eip + `", "name": "elasticip-address-proxy-a-1-1", "parent": "proxy", "provider": "aws"}
	  ]}`
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	preview := Preview{Import: file, Steps: []Step{create(eip, "elasticip-address-nat-a-1", slot("nat-a-1"))}}
	found := Match(preview, nil, []Thing{thing(eip, "eipalloc-1", "nat-a-1")})
	var names []string
	for _, r := range found.Import.Resources {
		names = append(names, r["name"].(string))
	}
	if !reflect.DeepEqual(names, []string{"nat", "first"}) || found.Import.Resources[1]["id"] != "eipalloc-1" || found.Import.Resources[1]["version"] != "6.83.0" {
		t.Errorf("import file: %v", found.Import.Resources)
	}
	if found.Import.NameTable["aws"] == "" {
		t.Error("the provider's name is gone")
	}
}

func TestReadState(t *testing.T) {
	t.Parallel()
	known, err := ReadState([]byte(`{"version":3,"deployment":{"resources":[{"urn":"u","type":"` + eip + `","id":"eipalloc-1"},{"urn":"c","type":"sallyport:x:Y"}]}}`))
	if err != nil || len(known) != 1 || !known[eip+" eipalloc-1"] {
		t.Errorf("%v, %v", known, err)
	}
	if _, err := ReadState([]byte("{")); err == nil {
		t.Error("half a state was taken")
	}
}
