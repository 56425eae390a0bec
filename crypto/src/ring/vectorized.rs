//! Loops compiled for several vector units, chosen when the program runs.

/// Declares a function whose body is compiled for AVX-512, for AVX2 and portably; the best that
/// the processor has is called. The body is plain safe code, written so that a compiler can
/// vectorize it: the same steps for every element, no jump that depends on one.
#[doc(hidden)]
#[macro_export]
macro_rules! vectorized {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $type:ty),+ $(,)?) $(-> $output:ty)? $body:block
    ) => {
        $(#[$meta])*
        $visibility fn $name($($argument: $type),+) $(-> $output)? {
            // Everything must be inlined into the function that has the vector unit enabled.
            #[inline(always)]
            fn vector_body($($argument: $type),+) $(-> $output)? $body
            struct Call<T>(T);
            impl ::pulp::NullaryFnOnce for Call<($($type,)+)> {
                type Output = $crate::vectorized!(@output $($output)?);
                #[inline(always)]
                fn call(self) -> Self::Output {
                    let ($($argument,)+) = self.0;
                    vector_body($($argument),+)
                }
            }
            ::pulp::Arch::new().dispatch(Call(($($argument,)+)))
        }
    };
    (@output) => { () };
    (@output $output:ty) => { $output };
}
