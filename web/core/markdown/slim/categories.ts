/** In place of uc.micro, which markdown-it brings along: browsers know Unicode's categories themselves. */
export const P = /\p{P}/u;
export const S = /\p{S}/u;
