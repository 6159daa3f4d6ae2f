package server

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sallyport/sallyport/test/standin/engine"
)

// decode reads properties off the wire. Secrets become plain: what the stand-ins keep is no secret.
func decode(raw *structpb.Struct) (engine.Props, error) {
	values, err := plugin.UnmarshalProperties(raw, plugin.MarshalOptions{KeepUnknowns: true, SkipNulls: true})
	if err != nil {
		return nil, err
	}
	return plainMap(values), nil
}

func plainMap(values resource.PropertyMap) engine.Props {
	out := engine.Props{}
	for key, value := range values {
		if !value.IsNull() {
			out[string(key)] = plain(value)
		}
	}
	return out
}

func plain(value resource.PropertyValue) any {
	switch {
	case value.IsNull():
		return nil
	case value.IsComputed(), value.IsOutput() && !value.OutputValue().Known:
		return engine.Unknown{}
	case value.IsOutput():
		return plain(value.OutputValue().Element)
	case value.IsSecret():
		return plain(value.SecretValue().Element)
	case value.IsArray():
		out := make([]any, len(value.ArrayValue()))
		for i, element := range value.ArrayValue() {
			out[i] = plain(element)
		}
		return out
	case value.IsObject():
		return plainMap(value.ObjectValue())
	case value.IsAsset():
		asset := value.AssetValue()
		return engine.Props{"text": asset.Text, "path": asset.Path, "hash": asset.Hash}
	case value.IsArchive():
		return engine.Props{"path": value.ArchiveValue().Path, "hash": value.ArchiveValue().Hash}
	default:
		return value.V
	}
}

// encode writes properties to the wire.
func encode(props engine.Props) (*structpb.Struct, error) {
	values := resource.PropertyMap{}
	for key, value := range props {
		wired, err := wire(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		values[resource.PropertyKey(key)] = wired
	}
	return plugin.MarshalProperties(values, plugin.MarshalOptions{KeepUnknowns: true, SkipNulls: true})
}

func wire(value any) (resource.PropertyValue, error) {
	switch v := value.(type) {
	case nil:
		return resource.NewNullProperty(), nil
	case engine.Unknown:
		return resource.MakeComputed(resource.NewStringProperty("")), nil
	case bool:
		return resource.NewBoolProperty(v), nil
	case float64:
		return resource.NewNumberProperty(v), nil
	case string:
		return resource.NewStringProperty(v), nil
	case []any:
		list := make([]resource.PropertyValue, len(v))
		for i, element := range v {
			wired, err := wire(element)
			if err != nil {
				return resource.PropertyValue{}, err
			}
			list[i] = wired
		}
		return resource.NewArrayProperty(list), nil
	case map[string]any:
		object := resource.PropertyMap{}
		for key, element := range v {
			wired, err := wire(element)
			if err != nil {
				return resource.PropertyValue{}, err
			}
			object[resource.PropertyKey(key)] = wired
		}
		return resource.NewObjectProperty(object), nil
	default:
		return resource.PropertyValue{}, fmt.Errorf("a %T is no property", value)
	}
}
