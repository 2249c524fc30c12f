"""All numbers that decide what the doctor reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DoctorThresholds:
    """Sizes and thresholds of the checks; the defaults were tuned on healthy and on broken models.

    Args:
        max_rows: Rows that are examined, of the data and of the training rows each, evenly spaced.
        min_rows: Below this number of rows nothing is reported of the model: the rows decide it.
        importance_rows: Rows for which log p(x) is estimated.
        importance_samples: Importance samples for each of these rows.
        latent_rows: Rows whose posteriors are compared with the draws of each other, decoded or
            traced.
        latent_block_size: Draws whose density under all these posteriors is computed at once.
        gradient_rows: Rows of the batch whose gradient is examined.
        elbo_draws: Draws of z per row in rate, distortion and ELBO.
        standard_errors: Number of standard errors from which a difference counts.
        duplicate_share: Share of rows that are training rows as well, above the share of repeats,
            from which it matters.
        repeated_row_share: Share of training rows that occur more than once from which it matters.
        excluded_column_share: Share of columns that were set aside from which it matters.
        drift_p_value: Largest p-value of a drift test that counts as drift.
        elbo_distance: Kolmogorov-Smirnov distance of two distributions of the ELBO from which it
            matters.
        max_tested_columns: Most columns of a table that are tested for drift.
        skipped_step_share: Share of steps with a non-finite loss or gradient from which the
            learning rate is blamed.
        min_fall_epochs: Fewest epochs of a history in which a fall differs from noise.
        fall_share: Share of the bound's range that is lost from its highest point, from which it is
            a fall.
        fall_steepness: Steepest fall between epochs, in units of the usual difference, from which
            it is a fall.
        large_update: Change of the weights in an epoch, relative to their norm and to the root of
            the number of steps, from which the learning rate is blamed. Healthy runs stay below
            0.05; rates at which training breaks down reach 0.5 to 7.
        small_update: Change of the weights, in the unit of ``large_update``, below which dead units
            are not blamed on the learning rate: in a long run on correlated columns they die at
            ordinary rates, too.
        min_dead_unit_rows: Fewest rows for which a hidden unit must be inactive to count as dead.
        dead_unit_share: Share of dead hidden units from which the learning rate is blamed.
        idle_latent_nats: KL divergence below which a latent variable is idle.
        idle_latent_share: Share of idle latent variables from which the weight of the KL divergence
            is blamed.
        low_rate_nats: Rate of all latent variables below which the weight of the KL divergence is
            blamed.
        late_gain_share: Gain of held-out rows in the second half of a run, as a share of the rate,
            that is large.
        late_gain_nats: Gain of held-out rows in the second half of a run that is large, in nats.
        finished_share: Share of the epochs before which the best epoch shows that the run was long
            enough.
        low_learning_rate: Learning rate below which a higher one is recommended to a run that was
            too short.
        memorised_share: Excess of the training ELBO over the held-out ELBO, as a share of the rate,
            that is large.
        baseline_standard_errors: Standard errors of the paired difference by which a baseline must
            beat the model.
        baseline_gap_nats: Nats by which a baseline must beat the model.
        baseline_steps: Training steps below which a longer run is recommended to a model that loses
            to a baseline.
        predicted_scale_rows: Training rows from which a scale that depends on the latents is
            recommended.
        collapsed_rate: Rate of all latent variables below which the posterior has collapsed, in
            nats.
        unused_entry_share: Share of unused codebook entries from which the codebook is too large.
        loose_bound_share: Gap between log p(x) and the ELBO, as a share of the rate, that is large.
        loose_bound_nats: Gap between log p(x) and the ELBO that is large, in nats.
        min_effective_samples: Effective samples below which the estimate of log p(x) is loose.
        elbo_target_tolerance: Relative difference of target and bound up to which the ELBO was the
            target.
        confident_mistake_probability: Probability below which the decoder rejects an observed value
            with confidence.
        confident_mistake_share: Share of confident mistakes among all values that is large.
        aggregate_kl_share: KL divergence of the latents' moments from the prior, as a share of the
            rate, that is large.
        aggregate_kl_nats: KL divergence of the latents' moments from the prior that is large, in
            nats.
        rows_per_latent: Rows per latent variable from which the moments of the latents are known.

    Example:
        >>> DoctorThresholds(collapsed_rate=0.1).collapsed_rate
        0.1
    """

    max_rows: int = 2000
    min_rows: int = 20
    importance_rows: int = 200
    importance_samples: int = 100
    latent_rows: int = 200
    latent_block_size: int = 16
    gradient_rows: int = 128
    elbo_draws: int = 4
    standard_errors: float = 4.0
    duplicate_share: float = 0.01
    repeated_row_share: float = 0.5
    excluded_column_share: float = 0.5
    drift_p_value: float = 1e-3
    elbo_distance: float = 0.3
    max_tested_columns: int = 1024
    skipped_step_share: float = 0.001
    min_fall_epochs: int = 5
    fall_share: float = 0.3
    fall_steepness: float = 6.0
    large_update: float = 0.5
    small_update: float = 0.05
    min_dead_unit_rows: int = 100
    dead_unit_share: float = 0.5
    idle_latent_nats: float = 0.01
    idle_latent_share: float = 0.5
    low_rate_nats: float = 1.0
    late_gain_share: float = 0.4
    late_gain_nats: float = 2.0
    finished_share: float = 0.9
    low_learning_rate: float = 3e-4
    memorised_share: float = 0.5
    baseline_standard_errors: float = 2.0
    baseline_gap_nats: float = 0.05
    baseline_steps: int = 5000
    predicted_scale_rows: int = 1000
    collapsed_rate: float = 0.05
    unused_entry_share: float = 0.5
    loose_bound_share: float = 0.5
    loose_bound_nats: float = 2.0
    min_effective_samples: float = 2.0
    elbo_target_tolerance: float = 1e-6
    confident_mistake_probability: float = 1e-4
    confident_mistake_share: float = 1e-3
    aggregate_kl_share: float = 0.25
    aggregate_kl_nats: float = 1.0
    rows_per_latent: int = 10
