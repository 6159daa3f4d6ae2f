package main

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/sallyport/sallyport/internal/clock"
)

// previousOutput returns what an output of this stack was after the last update, nil if there was none. A stack may refer to
// itself: Pulumi reads the stored state, which the running update has not replaced yet.
func previousOutput(ctx *pulumi.Context, name string) pulumi.Output {
	reference, err := pulumi.NewStackReference(ctx, "previous", &pulumi.StackReferenceArgs{
		Name: pulumi.Sprintf("%s/%s/%s", ctx.Organization(), ctx.Project(), ctx.Stack()),
	})
	if err != nil {
		return pulumi.Any(nil)
	}
	return reference.GetOutput(pulumi.String(name))
}

// nextSerial returns the serial of a document: that of the previous one if the content is the same, and the time in Unix
// seconds otherwise. So serials rise even where the previous document was lost.
func nextSerial(previous, content any) (uint64, error) {
	now, err := clock.Now()
	if err != nil {
		return 0, err
	}
	before, _ := previous.(map[string]any)
	serial, _ := before["serial"].(float64)
	next, err := jsonTree(content)
	if err != nil {
		return 0, err
	}
	after, _ := next.(map[string]any)
	if after == nil {
		return 0, fmt.Errorf("serial: needs an object, got %T", content)
	}
	if serial > 0 && sameBut(before, after, "serial") {
		return uint64(serial), nil
	}
	return max(uint64(now.Unix()), uint64(serial)+1), nil
}

// sameBut compares two objects without one of their keys.
func sameBut(a, b map[string]any, key string) bool {
	strip := func(object map[string]any) any {
		copied := make(map[string]any, len(object))
		for k, v := range object {
			if k != key {
				copied[k] = v
			}
		}
		text, _ := json.Marshal(copied)
		var tree any
		_ = json.Unmarshal(text, &tree)
		return tree
	}
	return reflect.DeepEqual(strip(a), strip(b))
}
