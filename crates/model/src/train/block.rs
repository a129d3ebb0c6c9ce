//! One block: forward keeps what backward reads, backward turns the gradient of the block's output
//! into that of its input and adds up the gradients of its weights on the way.
//!
//! ```text
//! x -> norm -> q, k, v -> (head norms) -> rotation -> attention -> out -> (norm) -> +
//! x -> norm -> gate, up -> non-linearity -> down -> (norm) -> +
//! ```
//! Whether the second branch begins after the first was added is the family's choice:
//! [`Residual`].

use super::attention::Attention;
use super::gradients::Gradients;
use super::parameters::{BlockIds, NormIds};
use super::pass::Pass;
use super::rows::{add_rows, copy, each_two};
use crate::arch::Rope;
use crate::arch::forward::each_row;
use crate::checkpoint::{Activation, Config, HeadNorm, Positions, Residual};
use crate::kernel::Rows;
use crate::kernel::gradient::{
    gate_backward, gelu_slope, gelu_tanh_slope, multiply_by, silu_slope,
};
use crate::kernel::vector::{exact_gelu_gate, gelu, gelu_gate, gelu_tanh, silu, silu_gate};

/// What forward leaves for backward: all that took a product or attention to compute; norms and
/// non-linearities are computed again. What a family does not have stays empty.
pub(super) struct Kept {
    /// Queries and keys before their norms.
    raw_q: Rows,
    raw_k: Rows,
    /// Rotated.
    q: Rows,
    k: Rows,
    v: Rows,
    mixed: Rows,
    /// The branches before their norms.
    attention_out: Rows,
    ff_out: Rows,
    /// Residual stream between the branches, where they follow each other.
    middle: Rows,
    gate: Rows,
    up: Rows,
}

impl Kept {
    pub(super) fn new(c: &Config) -> Self {
        let (n_q, n_kv) = (c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
        let d = || Rows::new(c.d_model);
        Self {
            raw_q: Rows::new(n_q),
            raw_k: Rows::new(n_kv),
            q: Rows::new(n_q),
            k: Rows::new(n_kv),
            v: Rows::new(n_kv),
            mixed: Rows::new(n_q),
            attention_out: d(),
            ff_out: d(),
            middle: d(),
            gate: Rows::new(c.d_ff),
            up: Rows::new(c.d_ff),
        }
    }
}

/// Buffers that no block needs after it is done.
pub(super) struct Scratch {
    /// Input of attention.
    attention_in: Rows,
    /// Input of the feed-forward layer, where it is not that of attention.
    ff_in: Rows,
    gated: Rows,
    /// A branch in forward, its gradient in backward.
    branch: Rows,
    /// Gradients of the inputs of the branches.
    d_attention_in: Rows,
    d_ff_in: Rows,
    dq: Rows,
    dk: Rows,
    dv: Rows,
    d_mixed: Rows,
    d_gate: Rows,
    d_up: Rows,
    d_gated: Rows,
}

impl Scratch {
    pub(super) fn new(c: &Config) -> Self {
        let (n_q, n_kv) = (c.n_heads * c.d_head, c.n_kv_heads * c.d_head);
        Self {
            attention_in: Rows::new(c.d_model),
            ff_in: Rows::new(c.d_model),
            gated: Rows::new(c.d_ff),
            branch: Rows::new(c.d_model),
            d_attention_in: Rows::new(c.d_model),
            d_ff_in: Rows::new(c.d_model),
            dq: Rows::new(n_q),
            dk: Rows::new(n_kv),
            dv: Rows::new(n_kv),
            d_mixed: Rows::new(n_q),
            d_gate: Rows::new(c.d_ff),
            d_up: Rows::new(c.d_ff),
            d_gated: Rows::new(c.d_ff),
        }
    }
}

/// A block with all that its two directions share.
pub(super) struct Block<'a> {
    pass: &'a Pass<'a>,
    ids: &'a BlockIds,
    rope: Option<&'a Rope>,
    window: Option<usize>,
}

impl<'a> Block<'a> {
    pub(super) fn new(pass: &'a Pass<'a>, layer: usize) -> Self {
        let c = pass.config;
        let is_sliding = c.is_sliding(layer);
        let rope = if is_sliding {
            pass.local_rope
        } else {
            pass.global_rope
        };
        Self {
            pass,
            ids: &pass.layout.blocks[layer],
            rope: (c.positions == Positions::Rotary).then_some(rope),
            window: c.sliding_window.filter(|_| is_sliding),
        }
    }

    /// Computes `out` from `x`; `kept` is what [`Block::backward`] needs.
    pub(super) fn forward(&self, x: &Rows, kept: &mut Kept, scratch: &mut Scratch, out: &mut Rows) {
        let (pass, ids) = (self.pass, self.ids);
        self.attend(x, kept, scratch, out);
        self.activate(kept, &mut scratch.gated);
        let post = ids.ff_post_norm;
        pass.project(
            ids.down,
            &scratch.gated,
            choose(post, &mut kept.ff_out, &mut scratch.branch),
        );
        self.add_branch(post, &kept.ff_out, &mut scratch.branch, out);
    }

    /// Fills `kept` a second time; the block's output is not computed to its end.
    pub(super) fn again(&self, x: &Rows, kept: &mut Kept, scratch: &mut Scratch, out: &mut Rows) {
        self.attend(x, kept, scratch, out);
        if self.ids.ff_post_norm.is_some() {
            self.activate(kept, &mut scratch.gated);
            self.pass
                .project(self.ids.down, &scratch.gated, &mut kept.ff_out);
        }
    }

    /// All of a block up to the projections before the non-linearity; `out` is then `x` with the
    /// attention branch.
    fn attend(&self, x: &Rows, kept: &mut Kept, s: &mut Scratch, out: &mut Rows) {
        let (pass, ids) = (self.pass, self.ids);
        self.norm(ids.attention_norm, x, &mut s.attention_in);
        self.heads(&s.attention_in, kept);
        self.attention()
            .forward(&kept.q, &kept.k, &kept.v, &mut kept.mixed);
        copy(x, out);
        let post = ids.attention_post_norm;
        pass.project(
            ids.out,
            &kept.mixed,
            choose(post, &mut kept.attention_out, &mut s.branch),
        );
        self.add_branch(post, &kept.attention_out, &mut s.branch, out);
        if pass.config.residual == Residual::Sequential {
            copy(out, &mut kept.middle);
        }
        self.norm_before_ff(x, &kept.middle, &mut s.ff_in);
        let ff_in = self.ff_in(&s.attention_in, &s.ff_in);
        pass.project(ids.up, ff_in, &mut kept.up);
        if let Some(gate) = ids.gate {
            pass.project(gate, ff_in, &mut kept.gate);
        }
    }

    /// Turns `dx`, the gradient by the block's output, into that by its input `x`.
    pub(super) fn backward(
        &self,
        x: &Rows,
        kept: &Kept,
        scratch: &mut Scratch,
        dx: &mut Rows,
        gradients: &mut Gradients,
    ) {
        let (pass, ids, isa) = (self.pass, self.ids, self.pass.isa);
        self.norm(ids.attention_norm, x, &mut scratch.attention_in);
        self.norm_before_ff(x, &kept.middle, &mut scratch.ff_in);
        self.activate(kept, &mut scratch.gated);
        copy(dx, &mut scratch.branch);
        self.norm_backward(
            ids.ff_post_norm,
            &kept.ff_out,
            &mut scratch.branch,
            gradients,
        );
        self.feed_forward_backward(kept, scratch, gradients);
        let residual = pass.config.residual;
        if residual == Residual::Sequential {
            self.norm_backward(ids.ff_norm, &kept.middle, &mut scratch.d_ff_in, gradients);
            add_rows(isa, &scratch.d_ff_in, dx);
        }
        copy(dx, &mut scratch.branch);
        self.norm_backward(
            ids.attention_post_norm,
            &kept.attention_out,
            &mut scratch.branch,
            gradients,
        );
        self.attention_backward(kept, scratch, gradients);
        match residual {
            Residual::Sequential => {}
            // Both branches read the same norm.
            Residual::Parallel => {
                add_rows(isa, &scratch.d_ff_in, &mut scratch.d_attention_in);
            }
            Residual::ParallelTwoNorms => {
                self.norm_backward(ids.ff_norm, x, &mut scratch.d_ff_in, gradients);
                add_rows(isa, &scratch.d_ff_in, dx);
            }
        }
        self.norm_backward(
            ids.attention_norm,
            x,
            &mut scratch.d_attention_in,
            gradients,
        );
        add_rows(isa, &scratch.d_attention_in, dx);
    }

    fn attention(&self) -> Attention<'_> {
        let c = self.pass.config;
        Attention {
            isa: self.pass.isa,
            spans: &self.pass.batch.spans,
            n_heads: c.n_heads,
            n_kv_heads: c.n_kv_heads,
            d_head: c.d_head,
            scale: c.attention_scale,
            softcap: c.attention_softcap,
            slopes: self.pass.slopes,
            window: self.window,
        }
    }

    /// Norm of the residual stream, a copy where there is none.
    fn norm(&self, ids: Option<NormIds>, x: &Rows, out: &mut Rows) {
        match ids {
            Some(ids) => self.pass.norm(ids).forward(x, out),
            None => copy(x, out),
        }
    }

    fn norm_backward(
        &self,
        ids: Option<NormIds>,
        x: &Rows,
        d: &mut Rows,
        gradients: &mut Gradients,
    ) {
        if let Some(ids) = ids {
            self.pass.norm(ids).backward(x, d, gradients);
        }
    }

    /// `out += norm(branch)`; without a norm the branch is in `scratch` already.
    fn add_branch(&self, post: Option<NormIds>, branch: &Rows, scratch: &mut Rows, out: &mut Rows) {
        if let Some(ids) = post {
            self.pass.norm(ids).forward(branch, scratch);
        }
        add_rows(self.pass.isa, scratch, out);
    }

    /// Columns that a head norm norms together: a head, or all `n_heads`.
    fn segment(&self, n_heads: usize) -> usize {
        let c = self.pass.config;
        match c.head_norm {
            HeadNorm::Whole => n_heads * c.d_head,
            HeadNorm::None | HeadNorm::Shared | HeadNorm::Own => c.d_head,
        }
    }

    /// Queries, keys and values: projected, normed, rotated.
    fn heads(&self, x: &Rows, kept: &mut Kept) {
        let (pass, ids, c) = (self.pass, self.ids, self.pass.config);
        for (linear, norm, n_heads, raw, heads) in [
            (ids.q, ids.q_norm, c.n_heads, &mut kept.raw_q, &mut kept.q),
            (
                ids.k,
                ids.k_norm,
                c.n_kv_heads,
                &mut kept.raw_k,
                &mut kept.k,
            ),
        ] {
            if let Some(norm) = norm {
                pass.project(linear, x, raw);
                pass.norm_of(norm, self.segment(n_heads))
                    .forward(raw, heads);
            } else {
                pass.project(linear, x, heads);
            }
            if let Some(rope) = self.rope {
                each_row(heads, |i, row| {
                    for head in row.chunks_exact_mut(c.d_head) {
                        rope.rotate(head, pass.batch.positions[i]);
                    }
                });
            }
        }
        pass.project(ids.v, x, &mut kept.v);
    }

    /// From the gradient of attention's output in `branch` to that of its input.
    fn attention_backward(&self, kept: &Kept, s: &mut Scratch, gradients: &mut Gradients) {
        let (pass, ids, c) = (self.pass, self.ids, self.pass.config);
        pass.project_backward(
            ids.out,
            &kept.mixed,
            &s.branch,
            &mut s.d_mixed,
            false,
            gradients,
        );
        self.attention().backward(
            &kept.q, &kept.k, &kept.v, &s.d_mixed, &mut s.dq, &mut s.dk, &mut s.dv,
        );
        let (x, dx) = (&s.attention_in, &mut s.d_attention_in);
        for (linear, norm, n_heads, raw, d, resume) in [
            (ids.q, ids.q_norm, c.n_heads, &kept.raw_q, &mut s.dq, false),
            (
                ids.k,
                ids.k_norm,
                c.n_kv_heads,
                &kept.raw_k,
                &mut s.dk,
                true,
            ),
        ] {
            if let Some(rope) = self.rope {
                each_row(d, |i, row| {
                    for head in row.chunks_exact_mut(c.d_head) {
                        rope.rotate_back(head, pass.batch.positions[i]);
                    }
                });
            }
            if let Some(norm) = norm {
                pass.norm_of(norm, self.segment(n_heads))
                    .backward(raw, d, gradients);
            }
            pass.project_backward(linear, x, d, dx, resume, gradients);
        }
        pass.project_backward(ids.v, x, &s.dv, dx, true, gradients);
    }

    /// Norm before the feed-forward layer, where it is not attention's.
    fn norm_before_ff(&self, x: &Rows, middle: &Rows, out: &mut Rows) {
        match self.pass.config.residual {
            Residual::Sequential => self.norm(self.ids.ff_norm, middle, out),
            Residual::ParallelTwoNorms => self.norm(self.ids.ff_norm, x, out),
            Residual::Parallel => {}
        }
    }

    fn ff_in<'k>(&self, attention_in: &'k Rows, ff_in: &'k Rows) -> &'k Rows {
        match self.pass.config.residual {
            Residual::Parallel => attention_in,
            Residual::Sequential | Residual::ParallelTwoNorms => ff_in,
        }
    }

    /// The non-linearity, and the gate's product with what it lets through.
    fn activate(&self, kept: &Kept, gated: &mut Rows) {
        let (isa, activation) = (self.pass.isa, self.pass.config.activation);
        if self.ids.gate.is_some() {
            gated.set_rows(kept.up.n_rows());
            each_row(gated, |i, out| {
                let (gate, up) = (kept.gate.row(i), kept.up.row(i));
                match activation {
                    Activation::Silu => silu_gate(isa, gate, up, out),
                    Activation::GeluTanh => gelu_gate(isa, gate, up, out),
                    Activation::Gelu => exact_gelu_gate(isa, gate, up, out),
                }
            });
        } else {
            copy(&kept.up, gated);
            each_row(gated, |_, out| match activation {
                Activation::Silu => silu(isa, out),
                Activation::GeluTanh => gelu_tanh(isa, out),
                Activation::Gelu => gelu(isa, out),
            });
        }
    }

    /// From the gradient of the feed-forward output in `branch` to that of its input.
    fn feed_forward_backward(&self, kept: &Kept, s: &mut Scratch, gradients: &mut Gradients) {
        let (pass, ids, isa) = (self.pass, self.ids, self.pass.isa);
        pass.project_backward(
            ids.down,
            &s.gated,
            &s.branch,
            &mut s.d_gated,
            false,
            gradients,
        );
        let slope = match pass.config.activation {
            Activation::Silu => silu_slope,
            Activation::GeluTanh => gelu_tanh_slope,
            Activation::Gelu => gelu_slope,
        };
        let n_rows = kept.up.n_rows();
        s.d_gate.set_rows(n_rows);
        s.d_up.set_rows(n_rows);
        let (x, d_gated) = (self.ff_in(&s.attention_in, &s.ff_in), &s.d_gated);
        if let Some(gate) = ids.gate {
            each_two(&mut s.d_gate, &mut s.d_up, |i, d_gate, d_up| {
                slope(isa, kept.gate.row(i), d_up, d_gate);
                gate_backward(isa, d_gated.row(i), kept.up.row(i), d_gate, d_up);
            });
            pass.project_backward(gate, x, &s.d_gate, &mut s.d_ff_in, false, gradients);
        } else {
            // The non-linearity's value is not needed: it goes where a gate's gradient would.
            each_two(&mut s.d_gate, &mut s.d_up, |i, value, d_up| {
                slope(isa, kept.up.row(i), value, d_up);
                multiply_by(isa, d_up, d_gated.row(i));
            });
        }
        pass.project_backward(
            ids.up,
            x,
            &s.d_up,
            &mut s.d_ff_in,
            ids.gate.is_some(),
            gradients,
        );
    }
}

/// A branch is kept only where a norm follows.
fn choose<'r>(post: Option<NormIds>, kept: &'r mut Rows, scratch: &'r mut Rows) -> &'r mut Rows {
    if post.is_some() { kept } else { scratch }
}
