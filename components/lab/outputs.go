package lab

import (
	"context"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// BlockArrayOutput is an output of blocks.
type BlockArrayOutput struct{ *pulumi.OutputState }

// ElementType implements pulumi.Output.
func (BlockArrayOutput) ElementType() reflect.Type { return reflect.TypeFor[[]Block]() }

// ToBlockArrayOutput returns the output itself.
func (o BlockArrayOutput) ToBlockArrayOutput() BlockArrayOutput { return o }

// ToBlockArrayOutputWithContext returns the output itself.
func (o BlockArrayOutput) ToBlockArrayOutputWithContext(context.Context) BlockArrayOutput { return o }

func init() {
	pulumi.RegisterOutputType(BlockArrayOutput{})
}
