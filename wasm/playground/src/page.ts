/** What a tab may do to the page around it. */
export interface Page {
  /** Shows messages at the top until they are dismissed. */
  complain(...texts: string[]): void;
  /** Says something to those who listen to the page. */
  announce(text: string): void;
  /** The settings were changed: the address must follow. */
  changed(): void;
}
