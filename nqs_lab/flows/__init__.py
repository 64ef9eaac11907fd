"""Attention as dynamics: energies, metrics, the flows they generate, and the time steps that become layers."""

from nqs_lab.flows.damping import Damping as Damping
from nqs_lab.flows.dynamics import (
    AbstractFlow as AbstractFlow,
    DampedFlow as DampedFlow,
    GradientFlow as GradientFlow,
    linear_flow as linear_flow,
    overdamped as overdamped,
    softmax_flow as softmax_flow,
    vector_field as vector_field,
)
from nqs_lab.flows.energies import (
    AbstractEnergy as AbstractEnergy,
    GaussianKL as GaussianKL,
    Interaction as Interaction,
    Potential as Potential,
    Quadratic as Quadratic,
    Quartic as Quartic,
    Sum as Sum,
    exponentials as exponentials,
    gaussian_kl as gaussian_kl,
    linear_attention as linear_attention,
    moments as moments,
    softmax_attention as softmax_attention,
)
from nqs_lab.flows.gaussian import (
    Closure as Closure,
    LogMode as LogMode,
    Moments as Moments,
    SoftmaxClosure as SoftmaxClosure,
    accelerated_collapse as accelerated_collapse,
    collapse as collapse,
    critical_damping as critical_damping,
    mahalanobis as mahalanobis,
    sample_elliptical as sample_elliptical,
)
from nqs_lab.flows.integrators import (
    AbstractIntegrator as AbstractIntegrator,
    AdamsBashforth as AdamsBashforth,
    Euler as Euler,
    ExponentialAdamsBashforth as ExponentialAdamsBashforth,
    ExponentialEuler as ExponentialEuler,
    FlowState as FlowState,
    KickDampDrift as KickDampDrift,
    Restarted as Restarted,
    RungeKutta as RungeKutta,
    StepInfo as StepInfo,
    Strang as Strang,
    doubled_step as doubled_step,
    runge_kutta as runge_kutta,
)
from nqs_lab.flows.kernels import (
    AbstractKernel as AbstractKernel,
    Bilinear as Bilinear,
    Gaussian as Gaussian,
    median_bandwidth as median_bandwidth,
)
from nqs_lab.flows.metrics import (
    AbstractMetric as AbstractMetric,
    Flat as Flat,
    SoftmaxMetric as SoftmaxMetric,
    Sphere as Sphere,
    SteinMetric as SteinMetric,
)
from nqs_lab.flows.simulate import Run as Run, integrate as integrate, simulate as simulate
from nqs_lab.flows.stein import (
    AcceleratedStein as AcceleratedStein,
    SteinFlow as SteinFlow,
    stein_direction as stein_direction,
    stein_discrepancy as stein_discrepancy,
)
from nqs_lab.flows.targets import (
    AbstractTarget as AbstractTarget,
    Banana as Banana,
    GaussianTarget as GaussianTarget,
    Mixture as Mixture,
    StudentTarget as StudentTarget,
    moment_error as moment_error,
)
